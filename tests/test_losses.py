"""Losses against the released code's numbers (to 1e-5 absolute), plain loops, and identities."""

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plopkit import losses
from plopkit.scenario import IGNORE
from plopkit.support import chunks

CASES = ("voc_15_5", "voc_15_1")
GOLDEN = np.load(Path(__file__).parent / "golden" / "losses.npz")
SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 4))


@pytest.fixture(params=[2**19, 8], ids=lambda n: f"chunks of {n} values", scope="module", autouse=True)
def values_of_a_chunk(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CPU_CHUNK", request.param)
        yield


def golden(case: str, name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[f"{case}/{name}"])


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def draw(seed: int, *shape: int, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def draw_target(seed: int, n: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, n, shape, generator=generator)
    target[torch.rand(shape, generator=generator) < 0.2] = IGNORE
    return target


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(v) for v in values]
    return [p / sum(powers) for p in powers]


def per_pixel(function: Callable[..., float], *tensors: Tensor) -> Tensor:
    """Apply a function of lists of channels to every pixel, in float64."""
    b, _, h, w = tensors[0].shape
    out = torch.zeros(b, h, w, dtype=torch.float64)
    for i in range(b):
        for y in range(h):
            for x in range(w):
                out[i, y, x] = function(*(t[i, ..., y, x].tolist() for t in tensors))
    return out.float()


def plain_cross_entropy(logits: list[float], target: int) -> float:
    return 0.0 if target == IGNORE else -math.log(softmax(logits)[target])


def plain_unbiased(n_old: int) -> Callable[[list[float], int], float]:
    def loss(logits: list[float], target: int) -> float:
        if target == IGNORE:
            return 0.0
        p = softmax(logits)
        return -math.log(sum(p[:n_old]) if target < n_old else p[target])

    return loss


def plain_distillation(logits: list[float], old: list[float]) -> float:
    p, q = softmax(logits[: len(old)]), softmax(old)
    return -sum(b * math.log(a) for a, b in zip(p, q, strict=True)) / len(old)


def plain_unbiased_distillation(logits: list[float], old: list[float]) -> float:
    p, q = softmax(logits), softmax(old)
    folded = [p[0] + sum(p[len(old) :]), *p[1 : len(old)]]
    return -sum(b * math.log(a) for a, b in zip(folded, q, strict=True)) / len(old)


def plain_binary(x: float, expected: float) -> float:
    p = 1 / (1 + math.exp(-x))
    return -expected * math.log(p) - (1 - expected) * math.log(1 - p)


def plain_binary_cross_entropy(logits: list[float], target: int) -> float:
    return 0.0 if target == IGNORE else sum(plain_binary(x, float(c == target)) for c, x in enumerate(logits))


def plain_binary_distillation(logits: list[float], old: list[float]) -> float:
    return sum(plain_binary(x, 1 / (1 + math.exp(-y))) for x, y in zip(logits, old, strict=False)) / len(old)


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    logits, old, target = (golden(case, name) for name in ("logits", "logits_old", "labels"))
    n_old = old.shape[1]
    close(losses.cross_entropy(logits, target), golden(case, "cross_entropy"))
    close(losses.unbiased_cross_entropy(logits, target, n_old), golden(case, "unbiased_cross_entropy"))
    close(losses.distillation(logits, old), golden(case, "distillation"))
    close(losses.distillation(logits, old).mean(), golden(case, "distillation_mean"))
    close(losses.unbiased_distillation(logits, old), golden(case, "unbiased_distillation"))
    close(losses.binary_cross_entropy(logits, target), golden(case, "bce_ignore"))


@pytest.mark.parametrize("case", CASES)
def test_golden_icarl_is_binary_distillation_plus_bce_of_the_new_channels(case: str) -> None:
    logits, old, target = (golden(case, name) for name in ("logits", "logits_old", "labels"))
    n_old, n = old.shape[1], logits.shape[1]
    one_hot = torch.stack([(target == c).float() for c in range(n_old, n)], dim=1)
    new = F.binary_cross_entropy_with_logits(logits[:, n_old:], one_hot, reduction="none").sum(1)
    close((n_old * losses.binary_distillation(logits, old) + new).mean(), golden(case, "icarl"))


@settings(deadline=None, max_examples=20)
@given(n_old=st.integers(1, 4), n_new=st.integers(0, 3), shape=SHAPES, seed=st.integers(0, 999))
def test_plain_loops(n_old: int, n_new: int, shape: tuple[int, int, int], seed: int) -> None:
    n, (b, h, w) = n_old + n_new, shape
    logits, old, target = (
        draw(seed, b, n, h, w),
        draw(seed + 1, b, n_old, h, w),
        draw_target(seed, n, b, h, w),
    )
    close(losses.cross_entropy(logits, target), per_pixel(plain_cross_entropy, logits, target))
    close(losses.binary_cross_entropy(logits, target), per_pixel(plain_binary_cross_entropy, logits, target))
    close(losses.unbiased_cross_entropy(logits, target, n_old), per_pixel(plain_unbiased(n_old), logits, target))
    close(losses.distillation(logits, old), per_pixel(plain_distillation, logits, old))
    close(losses.unbiased_distillation(logits, old), per_pixel(plain_unbiased_distillation, logits, old))
    close(losses.binary_distillation(logits, old), per_pixel(plain_binary_distillation, logits, old))


def test_unbiased_cross_entropy_with_nothing_hidden_is_cross_entropy() -> None:
    logits, target = draw(0, 2, 5, 4, 4), draw_target(0, 5, 2, 4, 4)
    expected = losses.cross_entropy(logits, target)
    for n_old in (0, 1):
        assert torch.equal(losses.unbiased_cross_entropy(logits, target, n_old), expected)
    assert not torch.allclose(losses.unbiased_cross_entropy(logits, target, 2), expected)


def test_unbiased_cross_entropy_treats_old_targets_as_background() -> None:
    logits, target = draw(0, 2, 5, 4, 4), draw_target(0, 5, 2, 4, 4)
    as_background = torch.where(target < 3, 0, target)
    found = losses.unbiased_cross_entropy(logits, target, 3)
    assert torch.equal(found, losses.unbiased_cross_entropy(logits, as_background, 3))
    close(losses.unbiased_cross_entropy(logits, target, 5), torch.zeros(2, 4, 4))


def test_unbiased_distillation_without_new_channels_is_distillation() -> None:
    logits, old = draw(0, 2, 4, 3, 3), draw(1, 2, 4, 3, 3)
    close(losses.unbiased_distillation(logits, old), losses.distillation(logits, old), 1e-6)


def test_distillation_ignores_new_channels_and_unbiased_distillation_does_not() -> None:
    logits, old = draw(0, 1, 6, 3, 3), draw(1, 1, 4, 3, 3)
    changed = logits.clone()
    changed[:, 4:] += 5
    assert torch.equal(losses.distillation(changed, old), losses.distillation(logits, old))
    assert torch.equal(losses.binary_distillation(changed, old), losses.binary_distillation(logits, old))
    assert (losses.unbiased_distillation(changed, old) - losses.unbiased_distillation(logits, old)).abs().min() > 1e-3


@pytest.mark.parametrize(
    "loss",
    [losses.distillation, losses.unbiased_distillation, losses.binary_distillation],
    ids=lambda f: f.__name__,
)
def test_distilling_a_net_from_itself_has_zero_gradient(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    logits = draw(0, 2, 5, 4, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, logits.detach()).sum(), logits)
    assert gradient.abs().max() < 1e-6
    (gradient,) = torch.autograd.grad(loss(logits, draw(1, 2, 5, 4, 4)).sum(), logits)
    assert gradient.abs().max() > 1e-2


def test_distillation_of_equal_logits_is_the_entropy_over_the_channels() -> None:
    logits = draw(0, 2, 5, 4, 4)
    close(
        losses.distillation(logits, logits),
        torch.distributions.Categorical(logits=logits.movedim(1, -1)).entropy() / 5,
    )
    flat = torch.zeros(1, 4, 1, 1)
    close(losses.distillation(flat, flat), torch.full((1, 1, 1), math.log(4) / 4))


def test_a_balanced_classifier_adds_nothing_to_unbiased_distillation() -> None:
    """The new channels take their share from the background only (MiB's initialisation)."""
    old = draw(0, 1, 4, 3, 3)
    share = old[:, :1] - math.log(2 + 1)
    grown = torch.cat([share, old[:, 1:], share, share], dim=1)
    close(losses.unbiased_distillation(grown, old), losses.distillation(old, old))


def every_loss(logits: Tensor, old: Tensor, target: Tensor) -> dict[str, Tensor]:
    return {
        "ce": losses.cross_entropy(logits, target),
        "unce": losses.unbiased_cross_entropy(logits, target, old.shape[1]),
        "kd": losses.distillation(logits, old),
        "unkd": losses.unbiased_distillation(logits, old),
        "bce": losses.binary_cross_entropy(logits, target),
        "bkd": losses.binary_distillation(logits, old),
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, old = (
        draw(0, 2, 6, 4, 4, scale=30).to(dtype).requires_grad_(),
        draw(1, 2, 4, 4, 4, scale=30).to(dtype),
    )
    target = draw_target(0, 6, 2, 4, 4)
    expected = every_loss(logits.detach().float(), old.float(), target)
    with torch.autocast("cpu", torch.bfloat16):
        found = every_loss(logits, old, target)
    for name, loss in found.items():
        assert loss.dtype == torch.float32
        assert torch.equal(loss.detach(), expected[name]), name
    (gradient,) = torch.autograd.grad(torch.stack([loss.sum() for loss in found.values()]).sum(), logits)
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()


def test_large_logits_stay_finite_and_double_stays_double() -> None:
    logits = draw(0, 2, 6, 4, 4, scale=1e4).requires_grad_()
    old, target = draw(1, 2, 4, 4, 4, scale=1e4), draw_target(0, 6, 2, 4, 4)
    for name, loss in every_loss(logits, old, target).items():
        assert loss.isfinite().all(), name
        assert (loss >= 0).all(), name
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
        assert gradient.isfinite().all(), name
    for name, loss in every_loss(logits.double(), old.double(), target).items():
        assert loss.dtype == torch.float64, name


def test_gradients_agree_with_finite_differences() -> None:
    logits, old, target = (
        draw(0, 1, 5, 2, 3).double(),
        draw(1, 1, 3, 2, 3).double(),
        draw_target(1, 5, 1, 2, 3),
    )
    target[0, 0, 0] = IGNORE
    assert torch.autograd.gradcheck(lambda x: tuple(every_loss(x, old, target).values()), logits.requires_grad_())


def test_memory_layout_changes_neither_losses_nor_gradients() -> None:
    small, old, target = draw(0, 2, 6, 3, 5), draw(1, 2, 4, 6, 10), draw_target(0, 6, 2, 6, 10)

    def gradient(memory_format: torch.memory_format, target: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        x = small.contiguous(memory_format=memory_format).requires_grad_()
        logits = F.interpolate(x, size=(6, 10), mode="bilinear", align_corners=False)
        assert logits.is_contiguous(memory_format=memory_format)
        found = every_loss(logits, old, target)
        return found, torch.autograd.grad(torch.stack([loss.sum() for loss in found.values()]).sum(), x)[0]

    expected, expected_gradient = gradient(torch.contiguous_format, target)
    strided = target.transpose(1, 2).contiguous().transpose(1, 2)
    found, found_gradient = gradient(torch.channels_last, strided)
    close(found_gradient, expected_gradient)
    for name in expected:
        close(found[name], expected[name])


def test_targets_of_8_bits_are_accepted() -> None:
    logits, target = draw(0, 2, 5, 4, 4), draw_target(0, 5, 2, 4, 4)
    for name, loss in every_loss(logits, logits[:, :3], target.to(torch.uint8)).items():
        assert torch.equal(loss, every_loss(logits, logits[:, :3], target)[name]), name


def test_errors_say_what_was_given() -> None:
    logits, old, target = draw(0, 1, 3, 2, 2), draw(0, 1, 4, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64)
    for loss in (losses.distillation, losses.unbiased_distillation, losses.binary_distillation):
        with pytest.raises(ValueError, match="the net has 3 channels, fewer than the teacher's 4"):
            loss(logits, old)
    for n_old in (-1, 4):
        with pytest.raises(ValueError, match=f"between 0 and the 3 channels of the logits, not {n_old}"):
            losses.unbiased_cross_entropy(logits, target, n_old)
    with pytest.raises(IndexError):
        losses.cross_entropy(logits, target + 3)


def test_old_classes_that_targets_show_count_as_themselves() -> None:
    """Unbiased cross-entropy where images of a memory show old classes: only target 0 means any of the first three."""
    logits, target = draw(1, 2, 5, 4, 6), draw_target(2, 5, 2, 4, 6)

    def one(x: list[float], y: float) -> float:
        if y == IGNORE:
            return 0.0
        p = softmax(x)
        return -math.log(sum(p[:3]) if y == 0 else p[int(y)])

    expected = torch.zeros(2, 4, 6, dtype=torch.float64)
    for b, y, x in itertools.product(range(2), range(4), range(6)):
        expected[b, y, x] = one(logits[b, :, y, x].tolist(), float(target[b, y, x]))
    found = losses.unbiased_cross_entropy(logits, target, 3, shows_old=True)
    close(found.double(), expected)
    hidden = torch.where(target < 3, 0, target)
    close(
        losses.unbiased_cross_entropy(logits, hidden, 3, shows_old=True),
        losses.unbiased_cross_entropy(logits, target, 3),
    )
