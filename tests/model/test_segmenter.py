"""The network: inplace-abn's numbers, the head's pooling, a classifier that grows, and where encoders come from."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from drawing import draw
from torch import Tensor, nn

from plopkit.model import encoders
from plopkit.model.abn import ABN
from plopkit.model.encoders import LITE0, Encoder, lite0_weights
from plopkit.model.segmenter import ASPP, Output, Segmenter, segmenter_of
from plopkit.presets import configure

Nets = Callable[..., Segmenter]


def close(found: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=atol)


def with_random_norms(net: nn.Module, seed: int = 0) -> nn.Module:
    """Give all norms weights of either sign and statistics of their own: fresh ones hide mistakes."""
    for index, module in enumerate(net.modules()):
        if isinstance(module, nn.BatchNorm2d):
            values = draw(seed + index, 4, module.num_features)
            module.weight.data, module.bias.data = values[0], 0.1 * values[1]
            module.running_mean, module.running_var = 0.1 * values[2], 0.5 + values[3].abs()
    return net


# ABN


@pytest.fixture
def abn(golden: Callable[[str], dict[str, Tensor]]) -> tuple[ABN, dict[str, Tensor]]:
    """inplace-abn's layer of the golden file, and its numbers."""
    numbers = golden("abn")
    layer = ABN(6)
    layer.weight.data, layer.bias.data = numbers["weight"], numbers["bias"]
    return layer, numbers


def test_golden_abn_in_training(abn: tuple[ABN, dict[str, Tensor]]) -> None:
    layer, numbers = abn
    assert numbers["weight"].min() < 0 < numbers["weight"].max()
    x = numbers["x"].clone().requires_grad_()
    out = layer(x)
    out.backward(numbers["grad_out"])
    close(out.detach(), numbers["train_out"])
    assert x.grad is not None
    close(x.grad, numbers["grad_x"])
    close(layer.weight.grad, numbers["grad_weight"])
    close(layer.bias.grad, numbers["grad_bias"])
    close(layer.running_mean, numbers["running_mean"])
    close(layer.running_var, numbers["running_var"])
    assert layer.num_batches_tracked == 1


def test_golden_abn_at_evaluation(abn: tuple[ABN, dict[str, Tensor]]) -> None:
    layer, numbers = abn
    layer(numbers["x"])
    layer.eval()
    close(layer(numbers["x"]).detach(), numbers["eval_out"])
    close(layer.running_mean, numbers["running_mean"])
    assert layer.num_batches_tracked == 1


def test_abn_is_no_plain_batch_norm(abn: tuple[ABN, dict[str, Tensor]]) -> None:
    layer, numbers = abn
    plain = nn.BatchNorm2d(6)
    plain.load_state_dict(layer.state_dict())
    other = F.leaky_relu(plain(numbers["x"]), 0.01)
    positive = numbers["weight"] > 0
    close(other[:, positive], numbers["train_out"][:, positive], atol=1e-4)
    assert (other - numbers["train_out"])[:, ~positive].abs().max() > 1


def test_abn_without_activation_is_the_map_before_it(abn: tuple[ABN, dict[str, Tensor]]) -> None:
    layer, numbers = abn
    identity, steep = ABN(6, "identity"), ABN(6, slope=0.5)
    for other in (identity, steep):
        other.load_state_dict(layer.state_dict())
    before = identity(numbers["x"])
    assert before.min() < -1
    close(F.leaky_relu(before, 0.01), numbers["train_out"])
    close(F.leaky_relu(before, 0.5), steep(numbers["x"]))


# The head


@pytest.mark.parametrize("pool", [None, 3, 6, 100])
def test_head_pools_the_whole_map_in_training(pool: int | None) -> None:
    head, x = ASPP(8, 4, (1,), pool), draw(0, 2, 8, 6, 7)
    pooled = head._pooled(x)
    close(pooled, x.mean((2, 3), keepdim=True))


def plain_window(x: Tensor, side: int) -> Tensor:
    """The mean over the window that has as much on either side as fits, at places near the edge the nearest one."""
    height, width = x.shape[2:]
    h, w = min(side, height), min(side, width)
    found = torch.zeros_like(x)
    for i in range(height):
        for j in range(width):
            top = min(max(i - (h - 1) // 2, 0), height - h)
            left = min(max(j - (w - 1) // 2, 0), width - w)
            found[:, :, i, j] = x[:, :, top : top + h, left : left + w].mean((2, 3))
    return found


@pytest.mark.parametrize("pool", [1, 2, 3, 4, 6, 7])
def test_head_pools_a_window_at_evaluation(pool: int) -> None:
    head, x = ASPP(8, 4, (1,), pool).eval(), draw(0, 2, 8, 6, 7)
    close(head._pooled(x), plain_window(x, pool))


@pytest.mark.parametrize("pool", [None, 7, 32])
def test_a_map_within_the_window_is_pooled_as_a_whole(pool: int | None) -> None:
    head, x = ASPP(8, 4, (1,), pool).eval(), draw(0, 2, 8, 6, 7)
    close(head._pooled(x).expand_as(x), x.mean((2, 3), keepdim=True).expand_as(x))


def test_the_window_shows_in_the_output_of_larger_maps_only() -> None:
    heads = [with_random_norms(ASPP(8, 4, (1, 2), pool)).eval() for pool in (None, 4)]
    heads[1].load_state_dict(heads[0].state_dict())
    small, large = draw(0, 1, 8, 4, 4), draw(0, 1, 8, 9, 9)
    close(heads[0](small), heads[1](small))
    assert (heads[0](large) - heads[1](large)).abs().max() > 0.01


def test_head_computes_what_the_released_one_does() -> None:
    """Parallel convolutions, one norm over all, 1x1; plus the pooled branch; then a norm."""
    head, x = with_random_norms(ASPP(8, 4, (1, 2))).eval(), draw(0, 2, 8, 6, 6)
    kernels = [branch.weight for branch in head.branches]
    maps = [F.conv2d(x, kernels[0]), F.conv2d(x, kernels[1], padding=1), F.conv2d(x, kernels[2], padding=2, dilation=2)]

    def norm(x: Tensor, layer: ABN) -> Tensor:
        per_channel = [v[:, None, None] for v in (layer.running_mean, layer.running_var, layer.weight, layer.bias)]
        mean, var, weight, bias = per_channel
        return F.leaky_relu((x - mean) / (var + 1e-5).sqrt() * (weight.abs() + 1e-5) + bias, 0.01)

    local = F.conv2d(norm(torch.cat(maps, 1), head.branches_norm), head.reduce.weight)
    pooled = norm(F.conv2d(x.mean((2, 3), keepdim=True), head.pool_conv.weight), head.pool_norm)
    expected = norm(local + F.conv2d(pooled, head.pool_reduce.weight), head.norm)
    close(head(x), expected)
    assert all(not isinstance(m, nn.Conv2d) or m.bias is None for m in head.modules())


# The whole network


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (70, 50)])
@pytest.mark.parametrize("training", [True, False])
def test_output_is_whole_and_named(size: tuple[int, int], training: bool, tiny_net: Nets) -> None:
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


def test_channels_are_those_of_the_classifiers_in_order(tiny_net: Nets) -> None:
    net = tiny_net(3, 2, 1).eval()
    out = net(draw(0, 1, 3, 64, 64))
    parts = [classifier(out.features[-1]) for classifier in net.classifier]
    assert [part.shape[1] for part in parts] == [3, 2, 1]
    assert torch.equal(out.small, torch.cat(parts, 1))


def test_dilations_follow_the_stride_unless_given() -> None:
    def dilations(stride: int, chosen: tuple[int, ...] = ()) -> list[int]:
        net = Segmenter(Encoder("test_efficientnet", stride, "none"), width=8, dilations=chosen)
        return [branch.dilation[0] for branch in net.decoder.branches]

    assert dilations(16) == [1, 6, 12, 18]
    assert dilations(8) == [1, 12, 24, 32]
    assert dilations(32) == [1, 1, 2, 3]
    assert dilations(16, (4,)) == [1, 4]


@pytest.mark.parametrize("classes", [(), (16, 0)])
def test_empty_classifiers_are_refused(classes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one, not"):
        Segmenter(Encoder("test_efficientnet", weights="none"), classes, width=8)


# Growing


@pytest.mark.parametrize("n_new", [1, 5])
@pytest.mark.parametrize("classes", [(16,), (16, 2)])
def test_a_balanced_net_keeps_every_old_class_and_shares_out_the_background(
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
    for a, b in zip(old.features, new.features, strict=True):
        assert torch.equal(a, b)


def test_growing_leaves_the_original_alone(tiny_net: Nets) -> None:
    net = tiny_net(4)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    grown = net.grown(2)
    for parameter in grown.parameters():
        parameter.data += 1
    assert net.classes == (4,)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in grown.parameters())


def test_an_unbalanced_net_draws_its_new_channels_and_keeps_the_old(tiny_net: Nets) -> None:
    net = tiny_net(4)
    grown = net.grown(3, balanced=False)
    assert torch.equal(grown.classifier[0].weight, net.classifier[0].weight)
    assert torch.equal(grown.classifier[0].bias, net.classifier[0].bias)
    assert not torch.equal(grown.classifier[1].weight[0], net.classifier[0].weight[0])
    assert grown.classifier[1].weight.unique().numel() == 3 * 16
    torch.manual_seed(1)
    first = net.grown(3, balanced=False).classifier[1].weight
    torch.manual_seed(1)
    assert torch.equal(first, net.grown(3, balanced=False).classifier[1].weight)


def test_growing_twice_names_its_parameters_by_step(tiny_net: Nets) -> None:
    net = tiny_net(4).grown(2).grown(1)
    assert net.classes == (4, 2, 1)
    other = tiny_net(4, 2, 1)
    other.load_state_dict(net.state_dict())  # strict: the same names and shapes as one made at once
    image = draw(0, 1, 3, 64, 64)
    assert torch.equal(other.eval()(image).logits, net.eval()(image).logits)
    with pytest.raises(ValueError, match="at least one channel, not 0"):
        net.grown(0)


def test_a_frozen_net_is_a_copy_that_learns_nothing(tiny_net: Nets) -> None:
    net = tiny_net(4).train()
    teacher = net.frozen()
    assert net.training and not any(module.training for module in teacher.modules())
    assert all(p.requires_grad for p in net.parameters()) and not any(p.requires_grad for p in teacher.parameters())
    image = draw(0, 2, 3, 64, 64)
    before = teacher(image).logits
    net(image)  # moves the running statistics of the net only
    net.classifier[0].weight.data += 1
    assert torch.equal(teacher(image).logits, before)
    assert not torch.equal(net.eval()(image).logits, before)


# Encoders


def test_lite0_is_that_of_timm_with_all_its_weights() -> None:
    encoder = Encoder(LITE0, output_stride=32, weights="imagenet").eval()
    whole = encoders.timm.create_model(LITE0).eval()
    whole.load_state_dict(lite0_weights())  # strict: every tensor has its place
    image, seen = draw(0, 1, 3, 64, 64), []
    for block in whole.blocks:
        block.register_forward_hook(lambda module, given, out: seen.append(out))
    whole(image)
    maps = [seen[index] for index in (1, 2, 4, 6)]
    assert encoder.channels == tuple(x.shape[1] for x in maps) == (24, 40, 112, 320)
    for found, expected in zip(encoder(image), maps, strict=True):
        close(found, expected)
    bare = Encoder(LITE0, output_stride=32, weights="none").eval()
    assert not torch.allclose(bare(image)[0], encoder(image)[0])


@pytest.mark.parametrize("spoil", [lambda first: {}, lambda first: {"first": first[:1]}])
def test_wrong_tensors_for_lite0_are_told(spoil: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = lite0_weights().values()
    wrong = spoil(first) | dict(enumerate(rest))
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: wrong)
    with pytest.raises(ValueError, match=r"these are not the tensors of timm .*efficientnet_lite0"):
        lite0_weights()


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_encoder_strides(stride: int) -> None:
    encoder = Encoder("test_efficientnet", stride, "none")
    assert encoder.output_stride == stride
    found = [64 // x.shape[-1] for x in encoder(draw(0, 2, 3, 64, 64))]
    assert found == [min(s, stride) for s in (4, 8, 16, 32)]


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet"])
def test_stages_are_cut_from_the_end(name: str) -> None:
    whole, cut = (Encoder(name, 16, "none", stages).eval() for stages in (5, 4))
    assert cut.channels[1:] == whole.channels[:3]
    assert cut.output_stride == 16
    image = draw(0, 1, 3, 64, 64)
    assert [64 // x.shape[-1] for x in cut(image)] == [2, 4, 8, 16]
    cut.load_state_dict({key: value for key, value in whole.state_dict().items() if key in cut.state_dict()})
    for a, b in zip(cut(image)[1:], whole(image)[:3], strict=True):
        close(a, b)


@pytest.mark.parametrize("preset", ["smoke", "laptop"])
def test_a_presets_stages_do_not_forbid_the_released_resnets(preset: str) -> None:
    settings = configure(preset=preset, overrides={"model.encoder": "resnet18", "model.weights": "none"})
    assert settings.model.stages == 4
    assert segmenter_of(settings.model, (16,)).encoder.channels == (64, 128, 256, 512)


def test_any_convolutional_network_of_timm_serves() -> None:
    for name in ("test_resnet", "test_convnext"):
        encoder = Encoder(name, 16, "none")
        assert len(encoder.channels) == 4
        out = Segmenter(encoder, (3,), width=8, dilations=(1,)).eval()(draw(0, 1, 3, 64, 64))
        assert out.logits.shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet1O1",), r"no encoder 'resnet1O1' in timm .*; similar: none"),
        (("lite0",), r"no encoder 'lite0' .*similar: efficientnet_lite0"),
        (("test_resnet", 16, "coco"), r"weights of 'test_resnet' are 'imagenet' or 'none', not 'coco'"),
        (("test_resnet", 16, "none", 3), r"'test_resnet' gives 3 stages; four are needed"),
        (
            ("test_resnet", 16, "none", 8),
            r"'test_resnet' cannot be built with output stride 16 and 8 stages; .*resnet50",
        ),
        (("test_vit", 16, "none"), r"'test_vit' cannot be built with output stride 16; most of timm's convolutional"),
        (
            ("test_resnet", 16, "imagenet"),
            r"cannot get the ImageNet .* 'test_resnet' from the model hub .*model.weights none",
        ),
    ],
)
def test_encoder_errors_say_what_is_possible(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Encoder(*arguments)
