"""The explorer of pseudo-labels: numbers, factors, legend."""

import re

import pytest
import torch
from looking import words
from matplotlib.figure import Figure

from plopkit.datasets.scenario_data import Batch
from plopkit.lessons.pseudo.figures import OUTCOMES
from plopkit.lessons.pseudo.measures import Outcome, classify_pseudo_labels
from plopkit.pseudo import Thresholds, pseudo_label, uncertainty
from plopkit.scenario import Scenario

STEP = Scenario.parse("voc 15-1 overlap order=b").steps[1]  # later steps add classes, and labels are not channels
NAMES = [f"class {label}" for label in range(21)]


def numbers_in_title(figure: Figure) -> list[float]:
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
        factor, *counts = numbers_in_title(explorer.figure())
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
        assert numbers_in_title(explorer.figure())[0] == pytest.approx(float(wanted), abs=0.005)


def test_a_control_without_effect_is_disabled(explorer) -> None:
    for kind, greyed in (("one for all", "factor"), ("medians", "threshold"), ("released", "threshold")):
        explorer.set(kind=kind)
        assert [name for name, control in explorer.controls.items() if control.disabled] == [greyed]


def test_the_explorer_says_what_its_colours_mean(explorer, batch: Batch, logits: torch.Tensor) -> None:
    explorer.set(image=3, kind="one for all", threshold=1.0)
    shown = words(explorer.figure())
    assert set(OUTCOMES.values()) <= set(shown)
    assert {"teacher", "truth", "right and wrong", "by somebody", "class 0"} <= set(shown)
    assert {NAMES[label] for label in batch.masks[2].unique().tolist()} <= set(shown)
    assert (uncertainty(logits) < 1).all()
