"""UCD's contrast: the released numbers, the corrected forms, and a plain loop."""

import math

import pytest
import torch
from comparing import close
from released import later_case
from torch import Tensor

from plopkit import contrast
from plopkit.contrast import (
    Pairs,
    attended,
    contrast_loss,
    contrast_pairs,
    joint_probability,
    nearest_labels,
    released_labels,
)
from plopkit.scenario import IGNORE

CASES = pytest.mark.parametrize("case", ["clean", "borders", "voc_15_1"])


def pairs_of(numbers: dict[str, Tensor], features: Tensor | None = None, labels_by: str = "released") -> Pairs:
    return contrast_pairs(
        numbers["features"] if features is None else features,
        numbers["features_old"],
        numbers["small_logits_old"],
        numbers["labels"].long(),
        numbers["logits"].shape[1],
        labels_by,
    )


@CASES
def test_anchors_and_contrasts_are_the_released_ones(case: str) -> None:
    numbers = later_case("ucd", case)
    close(attended(numbers["features"]), numbers["attended"], atol=1e-6)
    close(attended(numbers["features_old"]), numbers["attended_old"], atol=1e-6)
    small = released_labels(numbers["labels"].long(), numbers["features"].shape[2:])
    assert torch.equal(small, numbers["labels_small_int8"])
    pairs = pairs_of(numbers)
    close(pairs.anchors, numbers["anchors"], atol=1e-6)
    close(pairs.contrasts, numbers["contrasts"], atol=1e-6)
    assert torch.equal(pairs.anchor_labels, numbers["anchor_labels"].long())
    assert torch.equal(pairs.contrast_labels, numbers["contrast_labels"].long())
    close(joint_probability(pairs), numbers["joint_probability"], atol=1e-6)


@CASES
@pytest.mark.parametrize("chunk", [2**22, 700, 1])
def test_the_contrast_and_its_gradient_are_the_released_ones(
    case: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contrast, "CHUNK", chunk)
    numbers = later_case("ucd", case)
    features = numbers["features"].requires_grad_()
    pairs = pairs_of(numbers, features)
    found = contrast_loss(pairs)
    close(found, numbers["loss"])
    (gradient,) = torch.autograd.grad(found, features, retain_graph=True)
    close(gradient, numbers["loss_gradient"], atol=1e-6)
    (repeated,) = torch.autograd.grad(found, features)
    assert torch.equal(gradient, repeated)
    close(contrast_loss(pairs, uncertainty=False), numbers["loss_without_probability"])
    close(contrast_loss(pairs, temperature=1.0), numbers["loss_temperature_1"])


def test_the_border_of_two_labels_names_old_classes_as_released() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[:, :, 3:] = 16
    assert released_labels(labels, (4, 4))[0, 0].tolist() == [0, 8, 16, 16]
    assert nearest_labels(labels, (4, 4))[0, 0].tolist() == [0, 0, 16, 16]
    labels[:, :, 3:] = IGNORE
    assert released_labels(labels, (4, 4))[0, 0].tolist() == [0, 127, -1, -1]


@pytest.mark.parametrize("size", [(4, 4), (5, 3), (7, 7)])
def test_the_nearest_label_is_that_of_one_pixel(size: tuple[int, int]) -> None:
    labels = torch.randint(0, 99, (2, 17, 13), generator=torch.Generator().manual_seed(0))
    found = nearest_labels(labels, size)
    for i in range(size[0]):
        for j in range(size[1]):
            assert torch.equal(found[:, i, j], labels[:, i * 17 // size[0], j * 13 // size[1]])


def test_nearest_labels_serve_any_number_of_classes() -> None:
    generator = torch.Generator().manual_seed(2)
    features, old = torch.randn(2, 2, 4, 5, 5, generator=generator)
    small = torch.randn(2, 101, 5, 5, generator=generator)
    labels = torch.zeros(2, 20, 20, dtype=torch.int64)
    labels[0, :8], labels[1, 8:], labels[1, :, 15:] = 130, 3, IGNORE
    with pytest.raises(ValueError, match="released labels end at 20, and the net has 151 channels"):
        contrast_pairs(features, old, small, labels, 151)
    pairs = contrast_pairs(features, old, small, labels, 151, "nearest")
    predicted = small.argmax(1)
    expected = nearest_labels(labels, (5, 5))
    expected = torch.where((expected == 0) | (expected == IGNORE), predicted, expected)
    assert torch.equal(pairs.anchor_labels, expected[expected > 0])
    assert pairs.first_new == 101
    both = (pairs.anchor_labels == 130)[:, None] & (pairs.contrast_labels == 130)
    assert both.sum() == 100 and (joint_probability(pairs)[both] == 1).all()
    assert (joint_probability(pairs)[~both] < 1).all()  # of label 3 too, which is old


@pytest.mark.parametrize("labels_by", ["released", "nearest"])
def test_without_a_new_pixel_the_contrast_is_0_without_a_gradient(labels_by: str) -> None:
    numbers = later_case("ucd", "clean")
    numbers["labels"] = torch.where(numbers["labels"] == IGNORE, numbers["labels"], 0)
    features = numbers["features"].requires_grad_()
    found = contrast_loss(pairs_of(numbers, features, labels_by))
    found.backward()
    assert found == 0 and features.grad is not None and not features.grad.any()


def test_a_batch_of_one_image_and_of_one_class_is_finite() -> None:
    generator = torch.Generator().manual_seed(2)
    features, old = torch.randn(2, 1, 4, 5, 5, generator=generator)
    features.requires_grad_()
    labels = torch.full((1, 20, 20), 3)
    found = contrast_loss(contrast_pairs(features, old, torch.zeros(1, 3, 5, 5), labels, 4))
    found.backward()
    assert found == 0  # without negatives
    assert features.grad is not None and features.grad.isfinite().all()


@pytest.mark.parametrize("negatives", ["released", "shifted"])
@pytest.mark.parametrize("uncertainty", [True, False])
def test_the_contrast_by_a_plain_loop(negatives: str, uncertainty: bool) -> None:
    numbers = later_case("ucd", "voc_15_1")
    pairs = pairs_of(numbers)
    products = (pairs.anchors.double() @ pairs.contrasts.double().T / 0.07).tolist()
    weights = joint_probability(pairs).tolist() if uncertainty else None
    labels, others, means = pairs.anchor_labels.tolist(), pairs.contrast_labels.tolist(), []
    for i, similar in enumerate(products):
        shift = max(similar)
        removed = 0 if negatives == "released" else shift
        negative = sum(math.exp(s - removed) for s, other in zip(similar, others, strict=True) if other != labels[i])
        terms = [
            (weights[i][j] if weights else 1) * (s - shift - math.log(math.exp(s - shift) + negative))
            for j, s in enumerate(similar)
            if others[j] == labels[i] and j != i
        ]
        means += [-sum(terms) / len(terms)] if terms else []
    found = contrast_loss(pairs, negatives=negatives, uncertainty=uncertainty)
    assert found.item() == pytest.approx(sum(means) / len(means), rel=1e-5)


def test_a_small_temperature_does_not_overflow() -> None:
    assert contrast_loss(pairs_of(later_case("ucd", "clean")), temperature=0.005).isfinite()
