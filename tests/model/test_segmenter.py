"""The network: what it returns, how its classifier grows, what it freezes, and how a checkpoint describes it."""

import json
import math
from collections.abc import Callable
from typing import Any, Self

import pytest
import torch
import torch.nn.functional as F
from comparing import close
from drawing import draw
from torch import nn

from plopkit.model import classifiers, segmenter
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import ASPP
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Output, Segmenter

Nets = Callable[..., Segmenter]

# What it returns


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (70, 50)])
@pytest.mark.parametrize("training", [True, False])
def test_the_output_has_all_maps(size: tuple[int, int], training: bool, tiny_net: Nets) -> None:
    net = tiny_net(16, 5).train(training)
    out = net(draw(0, 2, 3, *size))
    assert isinstance(out, Output)
    assert out.logits.shape == (2, 21, *size)
    sides = [[math.ceil(side / stride) for side in size] for stride in (4, 8, 16, 16)]
    assert [list(stage.shape[2:]) for stage in out.features] == [*sides, sides[-1]]
    assert [stage.shape[1] for stage in out.features] == [*net.encoder.channels, 16]
    assert list(out.small.shape) == [2, 21, *sides[-1]]
    assert net.classes == (16, 5)
    close(out.logits, F.interpolate(out.small, size, mode="bilinear", align_corners=False))


def test_8_bit_colours_are_normalised_first(tiny_net: Nets) -> None:
    net = tiny_net(16).eval()
    colours = (255 * draw(0, 1, 3, 64, 64).sigmoid()).to(torch.uint8)
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    close(net(colours).logits, net((colours / 255 - mean) / std).logits)


def test_channels_are_those_of_the_steps_in_order(tiny_net: Nets) -> None:
    net = tiny_net(3, 2, 1).eval()
    out = net(draw(0, 1, 3, 64, 64))
    parts = [classifier(out.features[-1]) for classifier in net.classifier]
    assert [part.shape[1] for part in parts] == [3, 2, 1]
    assert torch.equal(out.small, torch.cat(parts, 1))


@pytest.mark.parametrize("training", [True, False])
def test_encode_decode_and_classify_compose_to_forward(training: bool, tiny_net: Nets) -> None:
    net, composed = (tiny_net(16, 5).train(training) for _ in range(2))
    image = draw(0, 2, 3, 64, 64)
    out = net(image)
    stages, encoded = composed.encode(image)
    head = composed.decode(encoded)
    small = composed.classify(head)
    assert torch.equal(encoded, out.encoded) and torch.equal(head, out.head) and torch.equal(small, out.small)
    assert all(map(torch.equal, stages, out.stages)) and len(stages) == len(out.stages) == 4
    assert out.features == (*out.stages, out.head)
    assert all(torch.equal(tensor, composed.state_dict()[name]) for name, tensor in net.state_dict().items())
    vectors = draw(1, 7, 16)  # features that a method replays have no place in an image
    weight = torch.cat([step.weight[:, :, 0, 0] for step in net.classifier])
    bias = torch.cat([step.bias for step in net.classifier])
    logits = net.classify(vectors[:, :, None, None])
    close(logits[:, :, 0, 0], vectors @ weight.T + bias)


def test_the_decoder_sees_the_last_map_behind_its_activation() -> None:
    resnet = Segmenter(Encoder("resnet18"), (3,), width=8, dilations=(1,)).eval()
    stages, encoded = resnet.encode(draw(0, 1, 3, 64, 64))
    assert stages[-1].min() < 0
    assert torch.equal(encoded, F.leaky_relu(stages[-1], 0.01))
    timm_net = Segmenter(Encoder("timm/test_resnet"), (3,), width=8, dilations=(1,)).eval()
    stages, encoded = timm_net.encode(draw(0, 1, 3, 64, 64))
    assert encoded is stages[-1]


def test_dilations_follow_the_stride_unless_given() -> None:
    def dilations(stride: int, chosen: tuple[int, ...] = ()) -> list[int]:
        net = Segmenter(Encoder("test_efficientnet", stride, "none"), width=8, dilations=chosen)
        return [branch.dilation[0] for branch in net.decoder.branches]

    assert dilations(16) == [1, 6, 12, 18]
    assert dilations(8) == [1, 12, 24, 32]
    assert dilations(32) == [1, 1, 2, 3]
    assert dilations(16, (4,)) == [1, 4]


@pytest.mark.parametrize("classes", [(), (16, 0)])
def test_a_step_without_channels_is_refused(classes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one, not"):
        Segmenter(Encoder("test_efficientnet", weights="none"), classes, width=8)


# Growing


@pytest.mark.parametrize("n_new", [1, 5])
@pytest.mark.parametrize("classes", [(16,), (16, 2)])
def test_balanced_channels_share_the_background_and_leave_old_classes_alone(
    classes: tuple[int, ...], n_new: int, tiny_net: Nets
) -> None:
    net = tiny_net(*classes).eval()
    grown = net.grown(n_new)
    image, n_old = draw(0, 2, 3, 64, 64), sum(classes)
    old, new = net(image), grown(image)
    assert grown.classes == (*classes, n_new)
    for before, after in ((old.logits, new.logits), (old.small, new.small)):
        p, q = before.softmax(1), after.softmax(1)
        close(q[:, 1:n_old], p[:, 1:], atol=1e-6)
        share = (p[:, :1] / (n_new + 1)).expand(-1, n_new, -1, -1)
        close(q[:, :1], share[:, :1], atol=1e-6)
        close(q[:, n_old:], share, atol=1e-6)
    assert all(map(torch.equal, old.features, new.features))


def test_growing_does_not_change_the_original(tiny_net: Nets) -> None:
    net = tiny_net(4)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    grown = net.grown(2)
    for parameter in grown.parameters():
        parameter.data += 1
    assert net.classes == (4,)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in grown.parameters())


def test_unbalanced_channels_are_random_and_old_channels_stay(tiny_net: Nets) -> None:
    net = tiny_net(4)
    grown = net.grown(3, balanced=False)
    assert torch.equal(grown.classifier[0].weight, net.classifier[0].weight)
    assert torch.equal(grown.classifier[0].bias, net.classifier[0].bias)
    assert not torch.equal(grown.classifier[1].weight[0], net.classifier[0].weight[0])
    assert grown.classifier[1].weight.unique().numel() == 3 * 16
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = net.grown(3, balanced=False).classifier[1].weight
        torch.manual_seed(1)
        assert torch.equal(first, net.grown(3, balanced=False).classifier[1].weight)


def test_a_net_grown_twice_is_a_net_of_three_steps(tiny_net: Nets) -> None:
    net = tiny_net(4).grown(2).grown(1)
    assert net.classes == (4, 2, 1)
    built = tiny_net(4, 2, 1)
    built.load_state_dict(net.state_dict())  # strict: the same names and shapes
    image = draw(0, 1, 3, 64, 64)
    assert torch.equal(built.eval()(image).logits, net.eval()(image).logits)
    with pytest.raises(ValueError, match="at least one channel, not -1"):
        net.grown(-1)
    with pytest.raises(ValueError, match="at least one channel, not 0"):
        net.classifier.grow(0)


# Freezing


def test_a_frozen_copy_is_never_trained(tiny_net: Nets) -> None:
    net = tiny_net(4).train()
    teacher = net.frozen()
    assert net.training and not any(module.training for module in teacher.modules())
    assert all(p.requires_grad for p in net.parameters()) and not any(p.requires_grad for p in teacher.parameters())
    image = draw(0, 2, 3, 64, 64)
    before = teacher(image).logits
    net(image)  # changes the running statistics of the net only
    net.classifier[0].weight.data += 1
    assert torch.equal(teacher(image).logits, before)
    assert not torch.equal(net.eval()(image).logits, before)


def statistics(module: nn.Module) -> list[torch.Tensor]:
    return [buffer.clone() for name, buffer in module.named_buffers() if "running" in name]


@pytest.mark.parametrize("parts", ["encoder", ("encoder", "decoder", "classifier.0")])
def test_parts_are_frozen_with_their_norms_also_after_train(parts: str | tuple[str, ...], tiny_net: Nets) -> None:
    net = tiny_net(16, 5).train()
    assert net.freeze(parts) is net
    names = [parts] if isinstance(parts, str) else parts
    image = draw(0, 2, 3, 64, 64)
    before = net.encode(image)
    for mode in (net.training, False, True):
        net.train(mode)
        assert net.training == mode
        for name, module in net.named_children():
            assert module.training == (mode and name not in names)
    for name in names:
        assert not any(module.training for module in net.get_submodule(name).modules())
    frozen = {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in net.named_parameters() if name.startswith(tuple(names))}
    old = statistics(net.encoder)
    for _ in range(2):
        net(image)
    assert all(map(torch.equal, statistics(net.encoder), old))
    assert torch.equal(net.encode(image)[1], before[1])
    assert any(p.requires_grad for p in net.classifier[1].parameters())


def test_norms_of_a_frozen_part_may_keep_running(tiny_net: Nets) -> None:
    net = tiny_net(16).eval().freeze("encoder", norms=False).train()
    assert net.encoder.training
    assert not any(p.requires_grad for p in net.encoder.parameters())
    old = statistics(net.encoder)
    net(draw(0, 2, 3, 64, 64))
    assert not any(map(torch.equal, statistics(net.encoder), old))
    assert not any(p.requires_grad for p in net.encoder.parameters())


def test_a_grown_net_keeps_its_frozen_parts(tiny_net: Nets) -> None:
    net = tiny_net(16).freeze("encoder").grown(5).train()
    assert not net.encoder.training and net.decoder.training
    assert not any(p.requires_grad for p in net.encoder.parameters())
    assert all(p.requires_grad for p in net.classifier.parameters())


def test_a_part_that_is_not_there_cannot_be_frozen(tiny_net: Nets) -> None:
    with pytest.raises(AttributeError, match="head"):
        tiny_net(16).freeze("head")


# Recipes


@pytest.mark.parametrize(
    "arguments",
    [
        {"encoder": ("test_efficientnet", 16, "none"), "classes": (16, 5), "width": 16, "dilations": (1, 2)},
        {"encoder": ("test_resnet", 8, "none", 4), "classes": (3,), "width": 8, "pool": None},
        {"encoder": ("resnet18", 16), "classes": (4, 2, 1), "width": 8, "pool": 4},
        {"encoder": ("resnet50", 8, "none", None, "abn", 0.2), "classes": (2,), "width": 8, "dilations": (3,)},
    ],
    ids=lambda arguments: arguments["encoder"][0],
)
def test_a_recipe_builds_a_net_of_the_same_shape(arguments: dict) -> None:
    with torch.random.fork_rng(devices=[]):
        net = Segmenter(Encoder(*arguments["encoder"]), **{k: v for k, v in arguments.items() if k != "encoder"}).eval()
        recipe = net.recipe()
        assert json.loads(json.dumps(recipe)) == recipe  # plain values
        built = Segmenter.from_recipe(recipe).eval()
    found, expected = ({k: t.shape for k, t in n.state_dict().items()} for n in (built, net))
    assert list(found) == list(expected) and found == expected
    assert built.recipe() == recipe and built.classes == net.classes
    built.load_state_dict(net.state_dict())
    image = draw(0, 1, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(built(image).logits, net(image).logits)


def test_a_recipe_with_an_unknown_classifier_is_refused(tiny_net: Nets) -> None:
    recipe = tiny_net(16).recipe()
    recipe["classifier"]["kind"] = "cosine"
    with pytest.raises(ValueError, match=r"a classifier 'cosine', which nothing has defined; known: softmax.*--plugin"):
        Segmenter.from_recipe(recipe)


@pytest.fixture
def own_kinds(monkeypatch: pytest.MonkeyPatch) -> tuple[type[Segmenter], type[Classifier]]:
    """A net with a fourth part, and a classifier with one more argument."""
    monkeypatch.setattr(segmenter, "NETS", segmenter.NETS.copy())
    monkeypatch.setattr(classifiers, "CLASSIFIERS", classifiers.CLASSIFIERS.copy())

    class Gated(Segmenter, kind="gated"):
        @classmethod
        def from_parts(cls, encoder: Encoder, decoder: ASPP, classifier: Classifier, gates: int = 1) -> Self:
            net = super().from_parts(encoder, decoder, classifier)
            net.gate = nn.Conv2d(decoder.width, gates, 1)
            return net

        def recipe(self) -> dict[str, Any]:
            return super().recipe() | {"gates": self.gate.out_channels}

    class Scaled(Classifier, kind="scaled"):
        def __init__(self, width: int, classes: tuple[int, ...], factor: float):
            super().__init__(width, classes)
            self.factor = factor

        def recipe(self) -> dict[str, Any]:
            return super().recipe() | {"factor": self.factor}

    return Gated, Scaled


def test_a_net_of_another_form_is_rebuilt(own_kinds: tuple[type, type]) -> None:
    gated, scaled = own_kinds
    encoder = Encoder("test_efficientnet", weights="none")
    net = gated.from_parts(encoder, ASPP(encoder.channels[-1], 8, (1,)), scaled(8, (3, 2), 0.5), gates=4)
    net.freeze("encoder")
    built = net.rebuilt()
    assert type(built) is gated and type(built.classifier) is scaled
    assert (built.gate.out_channels, built.classifier.factor, built.classes) == (4, 0.5, (3, 2))
    assert all(torch.equal(tensor, built.state_dict()[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in built.parameters())
    recipe = net.recipe() | {"kind": "folded"}
    with pytest.raises(ValueError, match=r"a form 'folded', which nothing has defined; known: segmenter, .*gated;"):
        Segmenter.from_recipe(recipe)


def test_a_net_that_its_recipe_does_not_describe_is_refused(tiny_net: Nets) -> None:
    net = tiny_net(16)
    net.extra = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"could not be read: 2 of its tensors, such as extra\.bias, .* own kind"):
        net.rebuilt()


def test_a_net_is_restored_from_its_recipe_and_tensors(tiny_net: Callable[..., Segmenter]) -> None:
    net = tiny_net(4, 2)
    found = Segmenter.restored(json.loads(json.dumps(net.recipe())), net.state_dict())
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in found.state_dict().items())


def test_a_recipe_is_compared_with_its_tensors_once(
    tiny_net: Callable[..., Segmenter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again with others: a run restores the nets of its steps several times, and each comparison builds one."""
    net, built = tiny_net(4, 2), []
    original = Encoder.__init__
    monkeypatch.setattr(segmenter, "_COMPARED", set())
    monkeypatch.setattr(Encoder, "__init__", lambda *args, **named: built.append(1) or original(*args, **named))
    for _ in range(3):
        Segmenter.restored(net.recipe(), net.state_dict())
    assert len(built) == 4
    built.clear()
    wider = {name: torch.cat([tensor, tensor]) if tensor.dim() else tensor for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError, match="are not those of the net that it describes"):
        Segmenter.restored(net.recipe(), wider)
    assert len(built) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"decoder": {"width": 100_000}},
            "are not those of the net that it describes; delete it to train the step again",
        ),
        ({"classifier": {"classes": [4, 70_000]}}, "are not those of the net that it describes"),
        ({"decoder": {"width": "wide"}}, "its description of the net is damaged"),
        ({"decoder": {"depth": 3}}, "its description of the net is damaged"),
        ({"encoder": {"name": "resnet1001"}}, "no encoder 'resnet1001'"),
        ({"encoder": {"weights": "/etc/passwd"}}, "it describes a net with weights from elsewhere"),
        ({"kind": "other"}, "which nothing has defined"),
    ],
)
def test_a_recipe_of_another_net_takes_no_memory(
    change: dict[str, Any], message: str, tiny_net: Callable[..., Segmenter]
) -> None:
    """A width of 100,000 would take terabytes."""
    net = tiny_net(4, 2)
    recipe = json.loads(json.dumps(net.recipe()))
    for name, values in change.items():
        recipe[name] = recipe[name] | values if isinstance(values, dict) else values
    with pytest.raises(ValueError, match=message):
        Segmenter.restored(recipe, net.state_dict())
