"""PLOP: the released numbers of local POD, and pseudo-labels by plain loops."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from batches import Case, later_step, prepared_by, terms_of
from comparing import close
from torch import Tensor

from plopkit.cube import pooled_cube
from plopkit.losses import cross_entropy
from plopkit.methods import PLOP
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Output, Segmenter
from plopkit.pod import fold_new_into_background, pod_distance
from plopkit.pseudo import Thresholds, median_thresholds, released_thresholds
from plopkit.scenario import IGNORE

Golden = Callable[[str], dict[str, Tensor]]


@pytest.mark.parametrize("name", ["voc_15_5", "voc_15_1_odd"])
@pytest.mark.parametrize(("released", "weights"), [("plop", (0.01, 0.0005)), ("ade", (0.001, 0.00001))])
def test_pod_gives_the_released_numbers(name: str, released: str, weights: tuple, golden: Golden) -> None:
    numbers = {key.split("/")[1]: value for key, value in golden("pod").items() if key.startswith(f"{name}/")}
    count = sum(key.startswith("old_") for key in numbers)
    new, old = (tuple(numbers[f"{which}_{index}"] for index in range(count)) for which in ("new", "old"))
    small, small_old = numbers["small_logits_new"], numbers["small_logits_old"]
    step = later_step(small_old.shape[1], small.shape[1] - small_old.shape[1])
    method = PLOP(pod=weights[0], pod_logits=weights[1])
    found = method.pod_loss(Output(small, small, new), Output(small_old, small_old, old), step)
    torch.testing.assert_close(found, numbers[f"pod_loss_{released}"], rtol=1e-5, atol=0)


def test_pod_of_a_net_just_grown(case: Callable[..., Case]) -> None:
    """All features are the teacher's. The new channels, added to the background's logit, count unless they are 0."""
    made = case(5, noise=0)
    out, old = made.outputs()
    method = PLOP(pod=0.3, pod_logits=0.2)
    added = 0.2 * pod_distance(fold_new_into_background(out.small, made.step.n_old), old.small)
    assert added > 0
    close(method.pod_loss(out, old, made.step), math.sqrt((made.step.n_old + 5) / 5) * added / 6)
    assert PLOP(pod=0.3, pod_logits=0).pod_loss(out, old, made.step) == 0
    without = made.teacher.grown(5, balanced=False)
    for parameter in without.classifier[1].parameters():
        parameter.data.zero_()
    assert method.pod_loss(without(made.image), old, made.step) == 0


def test_pod_weights_maps_and_logits_separately(case: Callable[..., Case]) -> None:
    made = case(2)
    out, old = made.outputs()
    maps, logits, both = (
        PLOP(pod=a, pod_logits=b, scales=(1, 2)).pod_loss(out, old, made.step) for a, b in ((3, 0), (0, 2), (3, 2))
    )
    close(maps + logits, both, atol=1e-4)
    distances = [pod_distance(new, teacher, (1, 2)) for new, teacher in zip(out.features, old.features, strict=True)]
    assert len(distances) == 5
    close(maps, math.sqrt((made.step.n_old + 2) / 2) * 3 * torch.stack(distances).sum() / 6, atol=1e-4)


def test_the_pooled_cube_replaces_pod(case: Callable[..., Case]) -> None:
    made = case(2)
    out, old = made.outputs()
    prepared = prepared_by(PLOP(), made.teacher, [(made.image, made.target)], made.step)
    found, with_pod = (
        terms_of(PLOP(distil=distil, pod=0.3, pod_logits=0.2), out, old, made.target, made.step, prepared)
        for distil in ("cube", "pod")
    )
    assert list(found) == ["ce", "cube"]
    close(found["ce"], with_pod["ce"])
    close(found["cube"], pooled_cube((*out.features, out.small), (*old.features, old.small), 0.3, 0.2))


def test_the_pooled_cube_compares_maps_after_their_activation() -> None:
    net = Segmenter(Encoder("resnet18", slope=0.1), (3,), width=8)
    out = net(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert len(out.activated) == 6
    for before, after in zip(out.stages, out.activated, strict=False):
        assert before.min() < 0
        close(after, F.leaky_relu(before, 0.1))
    assert out.encoded is not None
    close(out.activated[3], out.encoded)
    assert out.activated[4] is out.head and out.activated[5] is out.small


@pytest.mark.parametrize("adaptive", [True, False])
def test_a_confident_teacher_labels_all_background(adaptive: bool, case: Callable[..., Case]) -> None:
    made = case()
    out, old = made.outputs()
    no_threshold = Thresholds(torch.full((made.step.n_old + 2,), 2.0), "median")
    losses = terms_of(PLOP(adaptive=adaptive), out, old, made.target, made.step, no_threshold)
    assert list(losses) == ["ce", "pod"]
    labelled = torch.where(made.target == 0, old.logits.argmax(1), made.target)
    assert labelled[made.target == 0].unique().numel() > 1
    close(losses["ce"], cross_entropy(out.logits, labelled).mean(), atol=1e-5)


def test_without_confident_pixels_only_new_classes_are_trained(case: Callable[..., Case]) -> None:
    made = case()
    out, old = made.outputs()
    never = Thresholds(torch.zeros(made.step.n_old + 2), "median")
    assert terms_of(PLOP(), out, old, made.target, made.step, never)["ce"] == 0
    only_new = torch.where(made.target == 0, IGNORE, made.target)
    found = terms_of(PLOP(adaptive=False), out, old, made.target, made.step, never)["ce"]
    assert found > 0
    close(found, cross_entropy(out.logits, only_new).mean())


def test_each_image_is_weighted_by_its_share_of_confident_background(case: Callable[..., Case]) -> None:
    made = case()
    out, old = made.outputs()
    uncertainty = Thresholds(torch.zeros(1), "median").uncertainty(old.logits)
    threshold = uncertainty[1][made.target[1] == 0].median().item()
    thresholds = Thresholds(torch.full((made.step.n_old + 2,), threshold), "median")
    expected, factors = 0.0, []
    for i in range(2):
        background = made.target[i] == 0
        confident = uncertainty[i] < threshold
        labelled = torch.where(background, torch.where(confident, old.logits[i].argmax(0), IGNORE), made.target[i])
        factors.append(((confident & background).sum() / background.sum()).item())
        ce = F.cross_entropy(out.logits[i : i + 1], labelled[None], ignore_index=IGNORE, reduction="sum")
        expected += factors[-1] * ce.item() / made.target.numel()
    assert factors[1] == pytest.approx(0.5, abs=0.01) and abs(factors[0] - 0.5) > 0.1
    losses = terms_of(PLOP(), out, old, made.target, made.step, thresholds)
    assert losses["ce"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("chosen", "find"), [("released", released_thresholds), ("median", median_thresholds)])
def test_prepare_computes_thresholds_from_every_batch(chosen: str, find: Callable, case: Callable[..., Case]) -> None:
    made = case(5)
    batches = [(made.image[:1], made.target[:1]), (made.image[1:], made.target[1:])]
    pairs = [(made.teacher(image).logits, target) for image, target in batches]
    counted: list[Tensor] = []

    def reduce(counts: Tensor) -> Tensor:
        counted.append(counts)
        return counts

    method = PLOP(thresholds=chosen, floor=0.01)
    found = prepared_by(method, made.teacher, iter(batches), made.step, reduce)
    assert found.kind == chosen
    assert torch.equal(found.values, find(pairs, made.step.n_old, made.step.n_old + 5, floor=0.01).values)
    assert counted[0].sum() == (made.target == 0).sum()
    assert found.values.min() == pytest.approx(0.01)
    assert not found.values.requires_grad


def test_released_and_median_thresholds_differ(case: Callable[..., Case]) -> None:
    made = case(5)
    found = [
        prepared_by(PLOP(thresholds=chosen), made.teacher, [(made.image, made.target)], made.step).values
        for chosen in ("released", "median")
    ]
    assert found[1][: made.step.n_old].max() > 2 * found[0][: made.step.n_old].max()
