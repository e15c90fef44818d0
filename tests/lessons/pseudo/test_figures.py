"""Figures of pseudo-labelled images."""

import math

import numpy as np
import pytest
import torch
from looking import words
from matplotlib.colors import to_rgb

from plopkit.datasets.scenario_data import Batch
from plopkit.lessons import pseudo as pseudo_lesson
from plopkit.lessons.pseudo.figures import COLOURS
from plopkit.lessons.pseudo.measures import Outcome
from plopkit.pseudo import Thresholds, pseudo_label
from plopkit.scenario import Scenario
from plopkit.viz.masks import overlay

STEP = Scenario.parse("voc 15-1 overlap order=b").steps[1]  # later steps add classes, and labels are not channels
NAMES = [f"class {label}" for label in range(21)]


def test_labelled_images_hold_labels(batch: Batch, logits: torch.Tensor, medians: Thresholds) -> None:
    (image, *_) = pseudo_lesson.label_images(logits, batch.pictures, batch.target, batch.masks, STEP, medians)
    pseudo = pseudo_label(logits, batch.target, STEP.n_old, medians)
    seen = np.array([*STEP.seen, *[255] * (256 - STEP.n_seen)])
    assert (image.labelled == seen[pseudo.target[0]]).all()
    assert (image.predicted == seen[logits[0].argmax(0)]).all()
    assert (image.training_mask == np.where(batch.masks[0] == STEP.new[0], STEP.new[0], 0)).all()
    assert image.factor == pytest.approx(float(pseudo.factor[0]))
    assert image.highest == pytest.approx(1)


def test_the_highest_uncertainty_in_either_measure(
    batch: Batch, logits: torch.Tensor, medians: Thresholds, released: Thresholds
) -> None:
    known = (logits, batch.pictures, batch.target, batch.masks, STEP)
    ordinary, other = pseudo_lesson.label_images(*known, medians)[0], pseudo_lesson.label_images(*known, released)[0]
    assert other.highest == pytest.approx(1 / (STEP.n_old * math.log(STEP.n_seen)), rel=1e-4)
    np.testing.assert_allclose(ordinary.panels()["uncertainty"], other.panels()["uncertainty"], atol=1)


def test_rows_show_the_chosen_panels(batch: Batch, logits: torch.Tensor, medians: Thresholds) -> None:
    images = pseudo_lesson.label_images(logits, batch.pictures, batch.target, batch.masks, STEP, medians)
    figure = pseudo_lesson.pseudo_rows(images, ("image", "target", "right and wrong"), NAMES, "some", "by somebody")
    shown = words(figure)
    assert {
        "image",
        "target",
        "right and wrong",
        f"factor {images[2].factor:.2f}",
        "right",
        "unsure: ignored",
    } <= set(shown)
    axes = np.array(figure.axes).reshape(3, 3)
    assert (axes[1, 1].images[0].get_array() == overlay(images[1].picture, images[1].labelled)).all()
    colours = np.array([to_rgb(COLOURS[kind]) for kind in Outcome])
    errors = np.asarray(axes[2, 2].images[0].get_array()) / 255
    np.testing.assert_allclose(errors, colours[images[2].outcome], atol=1 / 255)
    with pytest.raises(ValueError, match="no panel 'masks'; known: image, training mask"):
        pseudo_lesson.pseudo_rows(images, ("masks",), NAMES, "some")
