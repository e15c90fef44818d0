"""Histograms of uncertainty and curves of precision."""

import numpy as np
import pytest
import torch
from looking import words

from plopkit.datasets.scenario_data import Batch
from plopkit.lessons import pseudo as pseudo_lesson
from plopkit.lessons.pseudo.measures import precision_at, precision_curve
from plopkit.pseudo import Thresholds
from plopkit.scenario import Scenario

STEP = Scenario.parse("voc 15-1 overlap order=b").steps[1]  # later steps add classes, and labels are not channels
NAMES = [f"class {label}" for label in range(21)]


def test_histograms_have_a_row_per_class_and_their_thresholds(
    batch: Batch, logits: torch.Tensor, medians: Thresholds, released: Thresholds
) -> None:
    hidden = batch.target == 0
    predicted = logits.argmax(1)[hidden]
    measures = {
        name: (rule.uncertainty(logits)[hidden], rule.values) for name, rule in (("u", medians), ("v", released))
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


def test_a_threshold_above_all_pixels_is_drawn_at_the_border() -> None:
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
