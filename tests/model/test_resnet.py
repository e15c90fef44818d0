"""The released ResNets with their DeepLab head: the released code's numbers in forward passes and training."""

from collections.abc import Callable

import pytest
import torch
from released import TRAININGS, released_net, trained
from torch import Tensor

from plopkit.methods import Method, MiB
from plopkit.model.abn import ABN
from plopkit.model.encoders import Encoder, timm
from plopkit.model.keys import absolute_scales
from plopkit.model.norms import norm_of
from plopkit.model.resnet import BLOCKS, ResNet

Golden = Callable[[str], dict[str, Tensor]]


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    ("file", "layout", "seed"),
    [("forward_resnet50", "official", 110), ("forward_cssegmentation_resnet50", "cssegmentation", 210)],
)
def test_golden_forward(golden: Golden, file: str, layout: str, seed: int) -> None:
    numbers = golden(file)
    with torch.no_grad():
        out = released_net((16, 5), layout, seed)(numbers["x"])
    assert relative(out.small, numbers["small_logits"]) < 1e-4
    assert len(out.features) == 5
    for index, feature in enumerate(out.features):
        assert relative(feature.mean((2, 3)), numbers[f"attention_{index}_mean"]) < 1e-4
    if "logits" in numbers:
        assert relative(out.logits[:, :, ::4, ::4], numbers["logits"]) < 1e-4


@pytest.mark.parametrize(
    ("file", "method", "seed", "terms"),
    [(file, *training) for file, training in TRAININGS.items()],
    ids=list(TRAININGS),
)
def test_golden_trajectory(golden: Golden, file: str, method: Method, seed: int, terms: tuple[str, ...]) -> None:
    numbers = golden(file)
    ticks, thresholds, change = trained(method, seed, numbers)
    if "thresholds" in numbers:
        torch.testing.assert_close(thresholds, numbers["thresholds"], rtol=1e-3, atol=1e-6)
    assert [t.lr for t in ticks] == pytest.approx(numbers["lr"].tolist(), rel=1e-6)
    for name in terms:
        expected = numbers[name].tolist()
        assert ticks[0].losses[name] == pytest.approx(expected[0], rel=1e-3)
        # With two images a batch and untrained weights, rounding alone changes the next losses by percents, as the
        # next test shows. A wrong gradient, sign or factor changes them more.
        assert [t.losses[name] for t in ticks[1:]] == pytest.approx(expected[1:], rel=0.15)
    expected_change = (numbers["final_cls0_weight"] - _teacher_classifier(seed)).flatten()
    assert torch.cosine_similarity(change, expected_change, dim=0) > 0.9
    assert 0.8 < change.norm() / expected_change.norm() < 1.25


def _teacher_classifier(seed: int) -> Tensor:
    return released_net((16,), "official", seed).classifier[0].weight.detach()


def test_rounding_changes_the_golden_trajectories(golden: Golden) -> None:
    """With images times 1 + 1e-7 the first losses agree; after one step of SGD they differ by more than 1e-3."""
    numbers = golden("trajectory_mib_15-5")
    plain, nudged = (trained(MiB(), 130, numbers, nudge)[0] for nudge in (0.0, 1e-7))
    differences = [
        max(abs(b.losses[n] / a.losses[n] - 1) for n in a.losses) for a, b in zip(plain, nudged, strict=True)
    ]
    assert differences[0] < 1e-3 < max(differences[1:])


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_shapes_and_strides(name: str, stride: int) -> None:
    with torch.device("meta"):
        encoder = Encoder(name, stride, "none")
        maps = encoder(torch.zeros(1, 3, 64, 96))
    assert [m.shape[1] for m in maps] == list(encoder.channels)
    assert [64 // m.shape[2] for m in maps] == [4, 8, min(16, stride), min(32, stride)]
    assert [96 // m.shape[3] for m in maps] == [4, 8, min(16, stride), min(32, stride)]
    assert encoder.output_stride == stride
    last = torch.tensor([[-2.0, 3.0]])
    torch.testing.assert_close(encoder.activate(last), torch.tensor([[-0.02, 3.0]]))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_converted_weights_of_both_signs_give_timms_network(name: str) -> None:
    """timm's ResNet with random norms against the released one with converted weights and a plain ReLU.

    At stride 32: where a stage is dilated, the released code dilates its first block as well, timm does not.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        stock = timm.create_model(name, features_only=True, output_stride=32, out_indices=(1, 2, 3, 4))
        for module in stock.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.data.normal_().add_(0.2)
                module.bias.data.normal_()
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 1.5)
        image = torch.randn(2, 3, 64, 64)
    own = ResNet(name, norm_of("abn", 0.0), 32, slope=0.0).eval()
    own.load_state_dict(absolute_scales(stock.state_dict()))
    with torch.no_grad():
        for found, expected in zip(own(image), stock.eval()(image), strict=True):
            assert relative(own.activate(found), expected) < 1e-4


def test_the_slope_of_the_leaky_relu_matters() -> None:
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        leaky = ResNet("resnet18", norm_of("abn", 0.01), 16, 0.01).eval()
    plain = ResNet("resnet18", norm_of("abn", 0.0), 16, 0.0).eval()
    plain.load_state_dict(leaky.state_dict())
    with torch.no_grad():
        assert relative(plain(image)[-1], leaky(image)[-1]) > 1e-3
    assert {m.slope for m in leaky.modules() if isinstance(m, ABN)} == {0.01}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": 5}, "model.stages is 5, and 'resnet18' has four stages"),
        ({"norm": "bn"}, "norm is 'abn' or 'iabn', not 'bn'"),
        ({"norm": "iabn", "slope": 0.0}, "a slope of 0 does not permit"),
    ],
)
def test_errors_say_what_is_possible(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Encoder("resnet18", 16, "none", **arguments)


def test_synchronising_converts_timms_norms_only() -> None:
    released, timms = Encoder("resnet18", 16, "none"), Encoder("timm/resnet18", 16, "none")
    before = sum(isinstance(module, ABN) for module in released.modules())
    for encoder in (released, timms):
        encoder.synchronise()
    assert sum(isinstance(module, ABN) for module in released.modules()) == before == 20
    assert not any(isinstance(module, torch.nn.SyncBatchNorm) for module in released.modules())
    assert sum(isinstance(module, torch.nn.SyncBatchNorm) for module in timms.modules()) == 20
