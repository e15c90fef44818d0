"""The nets of DKD's and SSUL's code: their tensors' names, their forward pass, and four iterations of DKD."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from batches import later_step
from binary_nets import calibrated, keys_of, released_state
from released import numbers_of

import plopkit
from plopkit.methods import DKD, SSUL, STAR
from plopkit.model.binary_keys import binary_net, binary_state
from plopkit.model.checkpoints import load_published, save_published
from plopkit.model.encoders import Encoder
from plopkit.model.exported import save_torchscript
from plopkit.model.folded import folded
from plopkit.model.keys import BINARY_PARTS, detect_layout, mismatched_keys
from plopkit.model.resnet import DILATIONS
from plopkit.model.segmenter import Segmenter
from plopkit.model.sigmoid import Decomposed
from plopkit.model.unknown import WithUnknown
from plopkit.model.upsampling import upsample
from plopkit.pseudo import uncertainty
from plopkit.scenario import Scenario
from plopkit.settings import Optim
from plopkit.trainer import Training, fit

STEP = Scenario.parse("voc 15-5 overlap").steps[1]


FILES = [("dkd", 3, "state_dict", Decomposed), ("ssul", 4, "model_state", WithUnknown)]
"""Layout, number of classifiers, what holds the tensors in a file, and the net."""


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("layout", "n_classifiers"), [("dkd", 3), ("ssul", 4)])
def test_every_released_tensor_has_its_place(layout: str, n_classifiers: int) -> None:
    shapes = keys_of(layout, "resnet101", n_classifiers)
    assert detect_layout(set(shapes)) == layout
    state = binary_state({key: torch.ones(shape) for key, shape in shapes.items()}, layout)
    with torch.device("meta"):
        net = binary_net(state, layout, "resnet101", 16, "abn")
    assert not mismatched_keys(net.state_dict(), state)


@pytest.mark.parametrize(("layout", "n_classifiers"), [("dkd", 3), ("ssul", 4)])
def test_a_file_that_lacks_a_tensor_or_has_another_shape_is_refused_by_name(
    layout: str, n_classifiers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {key: torch.zeros(shape) for key, shape in keys_of(layout, "resnet50", n_classifiers).items()}
    path = tmp_path / "a.pth"
    ends = ("project.0.weight", "convs.1.1.running_mean", "project.1.weight", "layer2.1.bn1.weight")
    keys = [next(key for key in state if key.endswith(end)) for end in ends]
    keys.append([key for key in state if key.endswith(".bias")][-1])  # of the last classifier
    damaged: list[dict[str, torch.Tensor]] = []
    for key in keys:
        without = {name: tensor for name, tensor in state.items() if name != key}
        damaged += [without, without | {key: torch.zeros(7)}, without | {key: torch.zeros(())}]
    for begin in BINARY_PARTS[layout][1:]:
        damaged.append({key: t for key, t in state.items() if not key.startswith(begin) or key.endswith("0.weight")})
    for changed in damaged:
        monkeypatch.setattr("plopkit.model.checkpoints.read_state", lambda _, found=changed: dict(found))
        with pytest.raises(ValueError, match=r"a\.pth: ") as error:
            load_published(path)
        assert "\n" not in str(error.value)
    more = state | {"something.weight": torch.zeros(3)}
    monkeypatch.setattr("plopkit.model.checkpoints.read_state", lambda _: more)
    with pytest.raises(ValueError, match=rf"has the layout '{layout}', except for 1 of its keys such as something"):
        load_published(path)


def test_ssul_with_two_heads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {key: torch.zeros(shape) for key, shape in keys_of("ssul", "resnet50", 2).items()}
    monkeypatch.setattr("plopkit.model.checkpoints.read_state", lambda _: state)
    with pytest.raises(ValueError, match=r"each step's classes, here are \[1, 1\]"):
        load_published("a.pth")


@torch.no_grad()
def test_dkds_forward_pass() -> None:
    numbers = numbers_of("later/net_dkd_resnet101")
    net = DKD().begin_step(calibrated("dkd", "resnet101", 2, 6000, 64), STEP).eval()
    out = net(numbers["forward/image"])
    assert relative(out.head, numbers["forward/features"]) < 1e-4
    logits = torch.cat([upsample(out.aux.auxiliary, (64, 64)), out.logits[:, 1:]], 1)
    assert relative(logits[..., ::4, ::4], numbers["forward/logits_every_4th"]) < 1e-4
    assert relative(out.aux.positive, numbers["forward/positive_small"]) < 1e-4
    assert relative(out.aux.negative, numbers["forward/negative_small"]) < 1e-4
    means = torch.cat([stage.relu().mean((2, 3)) for stage in out.stages], 1)
    assert relative(means, numbers["forward/stage_means"]) < 1e-4


@torch.no_grad()
def test_ssuls_forward_pass() -> None:
    numbers = numbers_of("later/net_ssul_resnet50")
    net = calibrated("ssul", "resnet50", 4, 6100, 65)
    out = net(numbers["forward/image"])
    assert out.head is not None and net.classes == (16, 5)
    assert relative(out.head, numbers["forward/aspp"]) < 1e-4
    assert relative(out.aux[..., ::4, ::4], numbers["forward/logits_every_4th"]) < 1e-4
    assert relative(out.stages[-1].relu().mean((2, 3)), numbers["forward/stage5_mean"]) < 1e-4


def test_dkds_trajectory() -> None:
    """Untrained nets amplify rounding: the page of the golden numbers asks for 1e-3, then for 3 %."""
    numbers, method = numbers_of("later/net_dkd_resnet101"), DKD()
    weights = {"mbce": 1.0, "ac": method.auxiliary, "kd": method.kd}
    weights |= {"dkd_pos": method.dkd_positive, "dkd_neg": method.dkd_negative}
    teacher = calibrated("dkd", "resnet101", 2, 6000, 64).frozen()
    training = Training(method.begin_step(teacher, STEP).requires_grad_(True), Optim(lr_later=2e-8), STEP, method)
    training.schedule = training.schedule._replace(epochs=1)
    loader = list(zip(numbers["trajectory/images"].float(), numbers["trajectory/labels"].long(), strict=True))
    for index, tick in enumerate(fit(training, loader, method, STEP, Accelerator(cpu=True), teacher)):
        tolerance = 0.03 if index else 1e-3
        for name, weight in weights.items():
            expected = numbers[f"trajectory/{name}"][index].item()
            assert tick.losses[name] / weight == pytest.approx(expected, rel=tolerance)
        assert tick.total == pytest.approx(numbers["trajectory/total"][index].item(), rel=tolerance)
        rates = [group["lr"] for group in training.optimizer.param_groups]
        assert rates == pytest.approx(numbers["trajectory/lr"][index, :3].tolist(), rel=1e-6)
    assert index == 3


@pytest.mark.parametrize(("layout", "n_classifiers", "wrapping", "kind"), FILES)
def test_a_checkpoint_in_a_file_of_the_released_code(
    layout: str, n_classifiers: int, wrapping: str, kind: type[Segmenter], tmp_path: Path
) -> None:
    state = released_state(layout, "resnet50", n_classifiers)
    for key in state:  # plain batch norm has weights of both signs
        if "bn" in key and key.endswith(".weight"):
            state[key][::3] *= -1
    torch.save({wrapping: {f"module.{key}": tensor for key, tensor in state.items()}}, tmp_path / "net.pth")
    net = load_published(tmp_path / "net.pth")
    assert type(net) is kind and net.classes == (16, 5) and not net.training
    assert net.encoder.recipe()["late_dilation"] and net.decoder.recipe()["slope"] == 0
    with torch.no_grad():
        image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        expected = net(image).logits
        save_published(net, tmp_path / "net.safetensors", "plopkit")
        assert torch.equal(load_published(tmp_path / "net.safetensors")(image).logits, expected)
        assert torch.equal(net.rebuilt().eval()(image).logits, expected)
    with pytest.raises(ValueError, match=f"kind {net.kind!r}, with a classifier {net.classifier.kind!r}: choose"):
        save_published(net, tmp_path / "official.pth")


def test_without_an_auxiliary_classifier_it_is_stars(tmp_path: Path) -> None:
    state = {k: v for k, v in released_state("dkd", "resnet50", 3).items() if not k.startswith("cls.0.")}
    state = {k.replace("cls.1.", "cls.0.").replace("cls.2.", "cls.1."): v for k, v in state.items()}
    torch.save(state, tmp_path / "star.pth")
    net = load_published(tmp_path / "star.pth")
    assert type(net) is Segmenter and net.classes == (16, 5) and not net.classifier.has_auxiliary


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_late_dilation_is_torchvisions(stride: int) -> None:
    import plopkit.support.torchvision_ops  # noqa: F401, I001  (before torchvision)
    from torchvision.models import resnet50

    replaced = [dilation > 1 for dilation in DILATIONS[stride][1:]]
    with torch.device("meta"):
        stock = resnet50(replace_stride_with_dilation=replaced)
        own = Encoder("resnet50", stride, late_dilation=True)
    expected = {name: module for name, module in stock.named_modules() if isinstance(module, torch.nn.Conv2d)}
    for name, module in own.net.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            found = (module.dilation, module.padding, module.stride, module.kernel_size)
            other = expected[name]
            assert found == (other.dilation, other.padding, other.stride, other.kernel_size)


def test_a_decoder_with_a_last_convolution_is_rebuilt(tiny_net: Callable[..., Segmenter]) -> None:
    tiny = tiny_net(6)
    net = DKD(dropout=0.2).build(tiny.encoder, tiny.decoder, 6)
    recipe = net.decoder.recipe()
    assert (recipe["dropout"], recipe["last"]) == (0.2, True) and "slope" not in recipe
    assert net.rebuilt().decoder.recipe() == recipe
    plain = DKD(dropout=0, last=False).build(tiny.encoder, tiny.decoder, 6)
    assert plain.decoder.recipe() == tiny.decoder.recipe()


@pytest.mark.parametrize("method", [DKD(), SSUL(), STAR()], ids=lambda method: method.name)
def test_predictions_and_exports_decide_as_the_method(
    method: DKD | SSUL | STAR, tiny_net: Callable[..., Segmenter], tmp_path: Path
) -> None:
    """What reads logits alone, without the method: the largest is the decision, and softmax gives it most."""
    tiny = tiny_net(4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = method.build(tiny.encoder, tiny.decoder, 4)
        net = method.begin_step(net, later_step(4, 2)).eval()
        for parameter in net.classifier.parameters():
            parameter.data.normal_(0, 0.5)
    save_torchscript(net, tmp_path / "net.pt", {})  # checked with pictures of another size
    save_published(net, tmp_path / "net.safetensors", "plopkit")
    picture = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    predictor = plopkit.load(tmp_path / "net.safetensors", device="cpu")
    labels, probabilities = predictor.predict(picture), predictor.probabilities(picture)
    assert len(np.unique(labels)) > 1 and np.array_equal(labels, probabilities.argmax(0))
    assert np.allclose(probabilities.sum(0), 1, atol=1e-5)
    sure = replace(predictor, confidence=0.6).predict(picture)
    assert np.array_equal(sure == predictor.ignored, probabilities.max(0) < 0.6)
    with torch.no_grad():
        image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        logits = net(image).logits
        assert torch.equal(method.predict(logits), logits.argmax(1))
        unsure = uncertainty(logits)
        assert unsure.min() >= 0 and unsure.max() <= 1
        torch.testing.assert_close(folded(net)(image).logits, logits, rtol=1e-3, atol=1e-3)
    assert net.rebuilt().recipe() == net.recipe()
