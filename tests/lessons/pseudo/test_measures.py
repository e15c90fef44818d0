"""Outcomes and precision of pseudo-labels, against plain loops."""

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from plopkit.datasets.scenario_data import Batch, labels_of
from plopkit.lessons import pseudo as pseudo_lesson
from plopkit.lessons.pseudo.measures import (
    Outcome,
    classify_pseudo_labels,
    outcome_table,
    precision_at,
    precision_curve,
    spread_images,
    teacher_view,
)
from plopkit.pseudo import Thresholds, pseudo_label, uncertainty
from plopkit.scenario import Scenario

STEP = Scenario.parse("voc 15-1 overlap order=b").steps[1]  # later steps add classes, and labels are not channels


def plain_verdict(pseudo: int, target: int, label: int) -> Outcome:
    """The outcome of one pixel by plain conditions; `pseudo` and `target` are channels."""
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


def test_outcomes_against_a_loop(batch: Batch, logits: torch.Tensor) -> None:
    limit = Thresholds(torch.full((STEP.n_seen,), 0.6), "median")
    pseudo = pseudo_label(logits, batch.target, STEP.n_old, limit).target
    result = classify_pseudo_labels(pseudo, batch.target, batch.masks, STEP)
    triples = zip(
        pseudo.flatten().tolist(), batch.target.flatten().tolist(), batch.masks.flatten().tolist(), strict=True
    )
    assert result.flatten().tolist() == [plain_verdict(*triple) for triple in triples]
    assert set(result.unique().tolist()) == set(Outcome)  # every kind occurs


def test_labels_of_channels() -> None:
    channels = torch.tensor([[0, 3], [STEP.n_seen - 1, 255]])
    assert labels_of(channels, STEP).tolist() == [[0, STEP.seen[3]], [STEP.seen[-1], 255]]


def test_the_curve_against_single_thresholds(batch: Batch, logits: torch.Tensor) -> None:
    curve = precision_curve(logits, batch.target, batch.masks, STEP, points=50)
    for place in (4, 12, 30):
        limit = Thresholds(torch.full((STEP.n_seen,), float(curve["all"].thresholds[place])), "median")
        point = precision_at(logits, batch.target, batch.masks, STEP, limit)
        for kind in ("all", "objects"):
            torch.testing.assert_close(point[kind].share[0], curve[kind].share[place])
            torch.testing.assert_close(point[kind].right[0], curve[kind].right[place], equal_nan=True)
    assert (curve["all"].share.diff() >= 0).all() and curve["all"].share[-1] == 1


def test_precision_of_class_wise_thresholds_against_counting(
    batch: Batch, logits: torch.Tensor, medians: Thresholds
) -> None:
    pseudo = pseudo_label(logits, batch.target, STEP.n_old, medians)
    verdict = classify_pseudo_labels(pseudo.target, batch.target, batch.masks, STEP)
    result = precision_at(logits, batch.target, batch.masks, STEP, medians)
    for kind, among in (("all", torch.ones_like(verdict).bool()), ("objects", logits.argmax(1) != 0)):
        kinds = verdict[among].tolist()
        labelled = [outcome for outcome in kinds if outcome not in (Outcome.EXCLUDED, Outcome.UNSURE)]
        assert float(result[kind].share) == pytest.approx(
            len(labelled) / sum(outcome != Outcome.EXCLUDED for outcome in kinds)
        )
        assert float(result[kind].right) == pytest.approx(labelled.count(Outcome.RIGHT) / len(labelled))
    background = (batch.target == 0).sum((1, 2))
    assert float(result["all"].share) == pytest.approx(
        float((pseudo.factor * background).sum() / background.sum()), 1e-4
    )


def test_a_teacher_that_predicts_no_object_has_no_precision_of_objects(batch: Batch) -> None:
    blind = torch.zeros(3, STEP.n_old, *batch.masks.shape[1:])
    blind[:, 0] = 5
    curve = precision_curve(blind, batch.target, batch.masks, STEP)
    assert curve["objects"].right.isnan().all()
    points = {"none": precision_at(blind, batch.target, batch.masks, STEP, Thresholds(torch.ones(17), "median"))}
    FigureCanvasAgg(pseudo_lesson.precision_curves(curve, points, "blind")).draw()


def test_images_are_spread_from_the_most_to_the_fewest_right_old_pixels() -> None:
    labelled = torch.ones(5, 1, 4, dtype=torch.long)
    labelled[4] = 0  # background, rightly: no old class
    outcomes = torch.full((5, 1, 4), int(Outcome.UNSURE))
    for image, right in enumerate((1, 3, 2, 0, 4)):
        outcomes[image, 0, :right] = Outcome.RIGHT
    assert spread_images(outcomes, labelled, 3).tolist() == [1, 0, 4]
    assert spread_images(outcomes, labelled, 9).tolist() == [1, 2, 0, 3, 4]


def test_what_became_of_all_pixels_and_of_old_objects() -> None:
    kinds = torch.tensor(list(Outcome))
    old, new, future = (group[0] for group in (STEP.old[1:], STEP.new, STEP.future))
    outcomes = torch.stack([kinds, kinds, kinds, torch.full_like(kinds, Outcome.RIGHT)])[None]
    masks = torch.tensor([0, old, future, old])[None, :, None].expand(outcomes.shape)
    table = outcome_table(outcomes, masks, STEP)
    assert Outcome.EXCLUDED not in table.index and len(table) == len(kinds) - 1
    assert table.loc[Outcome.RIGHT].tolist() == [3 + len(kinds), 1 + len(kinds)]
    assert (table.drop(Outcome.RIGHT) == [3, 1]).all(axis=None)
    assert outcome_table(outcomes, torch.full_like(masks, new), STEP)["old objects"].sum() == 0


def test_what_the_teacher_makes_of_old_and_new_objects() -> None:
    step = Scenario.parse("voc 15-5 overlap").steps[1]
    masks = torch.zeros(1, 12, 24, dtype=torch.long)
    masks[0, :, 8:16], masks[0, :, 16:], masks[0, 0, 0] = 3, 17, 255
    logits = torch.zeros(1, step.n_old, 12, 24)
    logits[0, 3, :, 8:12], logits[0, 4, :, 12:16], logits[0, 5, :, 16:18] = 9, 6, 3
    logits[0, 0, :, :8], logits[0, 0, :, 18:] = 12, 9
    view = teacher_view(logits, masks, step)
    assert (view.recognised, view.taken) == (0.5, 0.25)
    u = uncertainty(logits)[0]
    at_edges = torch.zeros(12, 24, dtype=torch.bool)
    at_edges[:, 6:10] = at_edges[:, 14:18] = at_edges[:3, :3] = True
    at_edges[0, 0] = False
    inside = ~at_edges & (masks[0] > 0) & (masks[0] < 255)
    assert view.uncertainty["edges"] == u[at_edges].median()
    assert view.uncertainty["objects"] == u[inside].median()
    assert view.uncertainty["background"] == u[0, 5] != u[at_edges].median()
