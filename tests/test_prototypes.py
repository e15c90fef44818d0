"""REMINDER's prototypes and distillation: the released numbers, and plain loops."""

import pytest
import torch
import torch.nn.functional as F
from comparing import close
from released import later_case
from torch import Tensor

from plopkit.prototypes import (
    batch_prototypes,
    class_similarity_distillation,
    prototypes,
    similarity,
    similarity_weights,
    weighted_distillation,
)
from plopkit.scenario import IGNORE

CASES = pytest.mark.parametrize("case", ["voc_15_1", "two_new", "zero_prototype"])


def csw(numbers: dict[str, Tensor], logits: Tensor, delta: float) -> Tensor:
    labels = numbers["labels"].long()
    total, count = class_similarity_distillation(
        numbers["features"], logits, numbers["logits_old"], labels, numbers["prototypes_old"], delta
    )
    return total / count


@CASES
def test_prototypes_of_a_batch_and_weights_are_the_released_ones(case: str) -> None:
    numbers = later_case("reminder", case)
    n_old, n_seen = int(numbers["n_old"]), numbers["logits"].shape[1]
    means = batch_prototypes(numbers["features"], numbers["labels"].long(), n_old, n_seen)
    close(means, numbers["batch_prototypes"], atol=1e-6)
    cosines = similarity(means[n_old:], numbers["prototypes_old"])
    close(cosines, numbers["similarity"], atol=1e-6)
    close(similarity_weights(cosines), numbers["weights"], atol=1e-6)
    cut = similarity_weights(cosines, delta=1.0)
    expected = torch.where(numbers["weights"] < 1 / n_old, 0.0, numbers["weights"])
    close(cut, expected, atol=1e-6)
    assert 0 < (cut == 0).sum() < cut.numel()


@CASES
@pytest.mark.parametrize("delta", [0, 1])
def test_the_distillation_and_its_gradient_are_the_released_ones(case: str, delta: int) -> None:
    numbers = later_case("reminder", case)
    logits = numbers["logits"].requires_grad_()
    found = csw(numbers, logits, delta)
    close(found, numbers[f"csw_delta_{delta}"])
    found.backward()
    assert logits.grad is not None
    close(logits.grad[..., ::4, ::4], numbers[f"csw_delta_{delta}_gradient"], atol=1e-8)


@pytest.mark.parametrize("step", ["step0", "step1"])
def test_prototypes_of_a_step_are_the_released_ones(step: str) -> None:
    numbers = later_case("reminder", step)
    batches = zip(numbers["maps"], numbers["labels"].long(), strict=True)
    found, counts = prototypes(batches, int(numbers["n_old"]), int(numbers["n_seen"]))
    close(found, numbers["prototypes"], atol=1e-6)
    assert torch.equal(counts, numbers["counts"])


def test_a_prototype_is_the_mean_of_upsampled_features() -> None:
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(2, 5, 4, 3, generator=generator)
    labels = torch.randint(0, 7, (2, 13, 10), generator=generator)
    labels[labels == 6] = IGNORE
    labels[labels == 4] = 3
    found = batch_prototypes(features, labels, 2, 6)
    large = F.interpolate(features, (13, 10), mode="bilinear", align_corners=True).movedim(1, 3)
    for label in (2, 3, 5):
        close(found[label], large[labels == label].mean(0))
    assert not found[[0, 1, 4]].any()  # old classes, and one without a pixel


def test_the_distillation_by_a_plain_loop() -> None:
    generator = torch.Generator().manual_seed(4)
    logits, old = torch.randn(2, 5, 6, 4, generator=generator), torch.randn(2, 3, 6, 4, generator=generator)
    labels = torch.randint(0, 6, (2, 6, 4), generator=generator)
    labels[labels == 5] = IGNORE
    weights = torch.rand(2, 3, generator=generator)
    found = weighted_distillation(logits, old, labels, weights, temperature=2.0)
    for (b, y, x), value in (
        (place, found[tuple(place)]) for place in torch.cartesian_prod(*map(torch.arange, found.shape)).tolist()
    ):
        label = int(labels[b, y, x])
        if label in (3, 4):
            q, p = (old[b, :, y, x] / 2).softmax(0), (logits[b, :3, y, x] / 2).softmax(0)
            close(value, -4 * ((q * weights[label - 3] + 1e-7) * p.log()).sum())
        else:
            assert value == 0


def test_without_a_pixel_of_a_new_class_the_term_is_0_and_not_nan() -> None:
    numbers = later_case("reminder", "two_new")
    assert later_case("reminder", "no_new_pixel")["csw_nan"].isnan()
    logits = numbers["logits"].requires_grad_()
    labels = torch.where(numbers["labels"] > 4, 0, numbers["labels"]).long()
    total, count = class_similarity_distillation(
        numbers["features"], logits, numbers["logits_old"], labels, numbers["prototypes_old"]
    )
    total.backward()
    assert total == 0 and count == 0
    assert logits.grad is not None and not logits.grad.any()


def test_prototypes_need_a_batch() -> None:
    with pytest.raises(ValueError, match="there is none"):
        prototypes([], 0, 3)
