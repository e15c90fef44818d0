"""What the lesson on pseudo-labels needs: judging them by the truth, precision curves, pictures, the explorer."""

import math
import re

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from plopkit.datasets.scenario_data import Batch, labels_of
from plopkit.lessons import pseudo as pseudo_lesson
from plopkit.lessons.pseudo import pseudo_explorer
from plopkit.lessons.pseudo.figures import COLOURS, OUTCOMES
from plopkit.lessons.pseudo.measures import Outcome, classify_pseudo_labels, precision_at, precision_curve
from plopkit.pseudo import Thresholds, median_thresholds, pseudo_label, released_thresholds, uncertainty
from plopkit.scenario import Scenario
from plopkit.viz.masks import overlay

STEP = Scenario.parse("voc 15-1 overlap order=b").steps[1]  # later steps bring more, and labels are not channels
NAMES = [f"class {label}" for label in range(21)]
SIDE = 24


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Three images of all labels at random, one of them with ignored pixels."""
    rng = np.random.default_rng(0)
    masks = torch.from_numpy(rng.choice([*[0] * 30, *range(1, 21)], (3, SIDE, SIDE)))
    masks[1, :2] = 255
    target = torch.from_numpy(STEP.lookup("new").astype(np.int64))[masks]
    return Batch(torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)), target, masks)


@pytest.fixture(scope="module")
def logits(batch: Batch) -> torch.Tensor:
    """A teacher that is right on two thirds of what it may know, and surer where it is."""
    generator = torch.Generator().manual_seed(1)
    truth = torch.from_numpy(STEP.lookup("seen").astype(np.int64))[batch.masks]
    known = torch.where(truth < STEP.n_old, truth, 0)
    hint = torch.nn.functional.one_hot(known, STEP.n_old).permute(0, 3, 1, 2).float()
    return 4 * hint + 1.5 * torch.randn(3, STEP.n_old, SIDE, SIDE, generator=generator)


@pytest.fixture(scope="module")
def medians(batch: Batch, logits: torch.Tensor) -> Thresholds:
    return median_thresholds([(logits, batch.target)], STEP.n_old, STEP.n_seen)


@pytest.fixture(scope="module")
def released(batch: Batch, logits: torch.Tensor) -> Thresholds:
    return released_thresholds([(logits, batch.target)], STEP.n_old, STEP.n_seen)


# Judging


def plain_verdict(pseudo: int, target: int, label: int) -> Outcome:
    """One pixel, said in words: ``pseudo`` and ``target`` are channels."""
    if target >= STEP.n_old or label == 255:
        return Outcome.EXCLUDED
    if pseudo == 255:
        return Outcome.UNSURE
    says = STEP.seen[pseudo]
    if label in STEP.future:
        return Outcome.RIGHT if says == 0 else Outcome.FUTURE
    if says == label:
        return Outcome.RIGHT
    if label == 0:
        return Outcome.INVENTED
    return Outcome.MISSED if says == 0 else Outcome.CONFUSED


def test_judging_against_a_loop(batch: Batch, logits: torch.Tensor) -> None:
    limit = Thresholds(torch.full((STEP.n_seen,), 0.6), "median")
    pseudo = pseudo_label(logits, batch.target, STEP.n_old, limit).target
    found = classify_pseudo_labels(pseudo, batch.target, batch.masks, STEP)
    triples = zip(
        pseudo.flatten().tolist(), batch.target.flatten().tolist(), batch.masks.flatten().tolist(), strict=True
    )
    assert found.flatten().tolist() == [plain_verdict(*triple) for triple in triples]
    assert set(found.unique().tolist()) == set(Outcome)  # every kind occurs


def test_labels_of_channels() -> None:
    channels = torch.tensor([[0, 3], [STEP.n_seen - 1, 255]])
    assert labels_of(channels, STEP).tolist() == [[0, STEP.seen[3]], [STEP.seen[-1], 255]]


# Precision


def test_the_curve_against_single_thresholds(batch: Batch, logits: torch.Tensor) -> None:
    curve = precision_curve(logits, batch.target, batch.masks, STEP, points=50)
    for place in (4, 12, 30):
        limit = Thresholds(torch.full((STEP.n_seen,), float(curve["all"].thresholds[place])), "median")
        one = precision_at(logits, batch.target, batch.masks, STEP, limit)
        for kind in ("all", "objects"):
            torch.testing.assert_close(one[kind].share[0], curve[kind].share[place])
            torch.testing.assert_close(one[kind].right[0], curve[kind].right[place], equal_nan=True)
    assert (curve["all"].share.diff() >= 0).all() and curve["all"].share[-1] == 1


def test_precision_of_class_wise_thresholds_against_counting(
    batch: Batch, logits: torch.Tensor, medians: Thresholds
) -> None:
    pseudo = pseudo_label(logits, batch.target, STEP.n_old, medians)
    verdict = classify_pseudo_labels(pseudo.target, batch.target, batch.masks, STEP)
    found = precision_at(logits, batch.target, batch.masks, STEP, medians)
    for kind, among in (("all", torch.ones_like(verdict).bool()), ("objects", logits.argmax(1) != 0)):
        kinds = verdict[among].tolist()
        labelled = [one for one in kinds if one not in (Outcome.EXCLUDED, Outcome.UNSURE)]
        assert float(found[kind].share) == pytest.approx(len(labelled) / sum(one != Outcome.EXCLUDED for one in kinds))
        assert float(found[kind].right) == pytest.approx(labelled.count(Outcome.RIGHT) / len(labelled))
    background = (batch.target == 0).sum((1, 2))
    assert float(found["all"].share) == pytest.approx(
        float((pseudo.factor * background).sum() / background.sum()), 1e-4
    )


def test_a_teacher_that_names_no_object_has_no_precision_of_objects(batch: Batch) -> None:
    blind = torch.zeros(3, STEP.n_old, SIDE, SIDE)
    blind[:, 0] = 5
    curve = precision_curve(blind, batch.target, batch.masks, STEP)
    assert curve["objects"].right.isnan().all()
    points = {"none": precision_at(blind, batch.target, batch.masks, STEP, Thresholds(torch.ones(17), "median"))}
    FigureCanvasAgg(pseudo_lesson.precision_curves(curve, points, "blind")).draw()


# Pictures


def words(figure: Figure) -> list[str]:
    FigureCanvasAgg(figure).draw()
    found = [figure.get_suptitle(), *(text.get_text() for text in figure.texts)]
    found += [part.get_text() for axis in figure.axes for part in (axis.title, axis.xaxis.label, axis.yaxis.label)]
    found += [part for axis in figure.axes for part in axis.get_label().split("; ")]  # a legend kept as a picture
    return [*found, *(text.get_text() for legend in figure.legends for text in legend.get_texts())]


def test_what_is_shown_is_in_labels(batch: Batch, logits: torch.Tensor, medians: Thresholds) -> None:
    (one, *_) = pseudo_lesson.label_images(logits, batch.pictures, batch.target, batch.masks, STEP, medians)
    pseudo = pseudo_label(logits, batch.target, STEP.n_old, medians)
    seen = np.array([*STEP.seen, *[255] * (256 - STEP.n_seen)])
    assert (one.labelled == seen[pseudo.target[0]]).all()
    assert (one.predicted == seen[logits[0].argmax(0)]).all()
    assert (one.given == np.where(batch.masks[0] == STEP.new[0], STEP.new[0], 0)).all()
    assert one.factor == pytest.approx(float(pseudo.factor[0]))
    assert one.highest == pytest.approx(1)


def test_most_uncertain_in_either_measure(
    batch: Batch, logits: torch.Tensor, medians: Thresholds, released: Thresholds
) -> None:
    known = (logits, batch.pictures, batch.target, batch.masks, STEP)
    ordinary, other = pseudo_lesson.label_images(*known, medians)[0], pseudo_lesson.label_images(*known, released)[0]
    assert other.highest == pytest.approx(1 / (STEP.n_old * math.log(STEP.n_seen)), rel=1e-4)
    np.testing.assert_allclose(ordinary.panels()["uncertainty"], other.panels()["uncertainty"], atol=1)


def test_rows_show_the_panels_asked_for(batch: Batch, logits: torch.Tensor, medians: Thresholds) -> None:
    images = pseudo_lesson.label_images(logits, batch.pictures, batch.target, batch.masks, STEP, medians)
    figure = pseudo_lesson.pseudo_rows(images, ("image", "target", "right and wrong"), NAMES, "some", "by somebody")
    told = words(figure)
    assert {
        "image",
        "target",
        "right and wrong",
        f"factor {images[2].factor:.2f}",
        "right",
        "unsure: no label",
    } <= set(told)
    axes = np.array(figure.axes).reshape(3, 3)
    assert (axes[1, 1].images[0].get_array() == overlay(images[1].picture, images[1].labelled)).all()
    colours = np.array([to_rgb(COLOURS[kind]) for kind in Outcome])
    errors = np.asarray(axes[2, 2].images[0].get_array()) / 255
    np.testing.assert_allclose(errors, colours[images[2].outcome], atol=1 / 255)
    with pytest.raises(ValueError, match="no panel 'masks'; known: image, training mask"):
        pseudo_lesson.pseudo_rows(images, ("masks",), NAMES, "some")


def test_histograms_have_a_row_a_class_and_their_thresholds(
    batch: Batch, logits: torch.Tensor, medians: Thresholds, released: Thresholds
) -> None:
    asked = batch.target == 0
    predicted = logits.argmax(1)[asked]
    measures = {
        name: (rule.uncertainty(logits)[asked], rule.values) for name, rule in (("u", medians), ("v", released))
    }
    figure = pseudo_lesson.uncertainty_histograms(predicted, measures, STEP.seen, NAMES, "how sure")
    left, right = figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("u", "v")
    classes = predicted.unique().tolist()
    assert [tick.get_text() for tick in left.get_yticklabels()] == [NAMES[STEP.seen[channel]] for channel in classes]
    for axis, (values, limits) in zip(figure.axes, measures.values(), strict=True):
        drawn = [line.get_xdata()[0] for line in axis.get_lines()]
        np.testing.assert_allclose(drawn[::2], limits[classes])
        np.testing.assert_allclose(drawn[1::2], [np.median(values[predicted == channel]) for channel in classes])
    np.testing.assert_allclose(
        *np.array([line.get_xdata() for line in left.get_lines()]).reshape(-1, 2, 2).swapaxes(0, 1), atol=0.05
    )
    words(figure)


def test_a_hundred_classes_are_too_many_to_draw() -> None:
    predicted = torch.arange(100).repeat_interleave(torch.arange(1, 101))
    measures = {"u": (torch.rand(len(predicted)), torch.full((100,), 0.5))}
    names = [f"class {label}" for label in range(100)]
    axis = pseudo_lesson.uncertainty_histograms(predicted, measures, range(100), names, "many").axes[0]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == names[80:]


def test_a_threshold_beyond_all_pixels_stands_at_the_border() -> None:
    predicted = torch.tensor([0, 0, 1, 1])
    measures = {"u": (torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([torch.inf, 0.35]))}
    (axis,) = pseudo_lesson.uncertainty_histograms(predicted, measures, (0, 1), NAMES, "released").axes
    limits = [line.get_xdata()[0] for line in axis.get_lines()[::2]]
    assert limits == pytest.approx([axis.get_xlim()[1], 0.35])
    assert axis.get_xlim()[1] == pytest.approx(0.4, rel=0.01)


def test_more_rules_than_markers_are_all_shown(batch: Batch, logits: torch.Tensor, medians: Thresholds) -> None:
    known = (logits, batch.target, batch.masks, STEP)
    curve, point = precision_curve(*known), precision_at(*known, medians)
    rules = [f"rule {index}" for index in range(7)]
    figure = pseudo_lesson.precision_curves(curve, dict.fromkeys(rules, point), "many")
    assert set(rules) <= set(words(figure))


def test_precision_curves_show_points(batch: Batch, logits: torch.Tensor, medians: Thresholds) -> None:
    known = (logits, batch.target, batch.masks, STEP)
    curve, point = precision_curve(*known), precision_at(*known, medians)
    figure = pseudo_lesson.precision_curves(curve, {"medians": point}, "a bargain")
    assert {"medians", "all pixels: labelled", "threshold for all classes (uncertainty)"} <= set(words(figure))
    lines = figure.axes[1].get_lines()
    np.testing.assert_allclose(lines[0].get_xdata(), 100 * curve["all"].share)
    np.testing.assert_allclose(
        [lines[3].get_xdata()[0], lines[3].get_ydata()[0]], [100 * float(part) for part in point["objects"][1:]]
    )


# The explorer


@pytest.fixture
def explorer(batch: Batch, logits: torch.Tensor, medians: Thresholds, released: Thresholds):
    return pseudo_explorer(logits, batch, STEP, medians, released, NAMES, "by somebody")


def told_numbers(figure: Figure) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]+", figure.get_suptitle())]


def test_the_slider_changes_the_picture_and_the_numbers(explorer, batch: Batch, logits: torch.Tensor) -> None:
    pictures, factors = [], []
    for threshold in (0.0, 0.2, 0.5, 1.0):
        explorer.set(kind="one for all", image=2, threshold=threshold)
        assert explorer.message.value == ""
        limit = Thresholds(torch.full((STEP.n_seen,), threshold), "median")
        pseudo = pseudo_label(logits[1:2], batch.target[1:2], STEP.n_old, limit)
        verdict = classify_pseudo_labels(pseudo.target, batch.target[1:2], batch.masks[1:2], STEP)
        labelled, right = int((verdict > 1).sum()), int((verdict == Outcome.RIGHT).sum())
        factor, *counts = told_numbers(explorer.figure())
        assert factor == pytest.approx(float(pseudo.factor), abs=0.005)
        assert counts[:3] == [labelled, right, labelled - right]
        named = (verdict > 1) & (pseudo.target != 0)
        right_named = int((named & (verdict == Outcome.RIGHT)).sum())
        assert counts[3:] == [int(named.sum()), right_named, int(named.sum()) - right_named]
        pictures.append(explorer.picture.value)
        factors.append(factor)
    assert len(set(pictures)) == 4
    assert factors == sorted(factors) and factors[0] == 0 and factors[-1] == 1


@pytest.mark.parametrize("kind", ["medians", "released"])
def test_the_factor_multiplies_the_class_wise_thresholds(
    kind: str, explorer, batch: Batch, logits: torch.Tensor, medians: Thresholds, released: Thresholds
) -> None:
    rule = medians if kind == "medians" else released
    for factor in (0.5, 1.0, 2.0):
        explorer.set(kind=kind, image=1, factor=factor)
        limit = Thresholds(factor * rule.values, rule.kind)
        wanted = pseudo_label(logits[:1], batch.target[:1], STEP.n_old, limit).factor
        assert told_numbers(explorer.figure())[0] == pytest.approx(float(wanted), abs=0.005)


def test_a_control_without_meaning_is_greyed(explorer) -> None:
    for kind, greyed in (("one for all", "factor"), ("medians", "threshold"), ("released", "threshold")):
        explorer.set(kind=kind)
        assert [name for name, control in explorer.controls.items() if control.disabled] == [greyed]


def test_the_explorer_tells_what_its_colours_mean(explorer, batch: Batch, logits: torch.Tensor) -> None:
    explorer.set(image=3, kind="one for all", threshold=1.0)
    told = words(explorer.figure())
    assert set(OUTCOMES.values()) <= set(told)
    assert {"teacher", "truth", "right and wrong", "by somebody", "class 0"} <= set(told)
    assert {NAMES[label] for label in batch.masks[2].unique().tolist()} <= set(told)
    assert (uncertainty(logits) < 1).all()
