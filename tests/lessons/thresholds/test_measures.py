"""The released search for a median, the range of its measure, and the pixels that thresholds accept."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from teachers import NAMES, draw

from plopkit.lessons.thresholds import (
    Histograms,
    check,
    classes_beyond_the_gap,
    pseudo_label_rates,
    released_range,
    teacher_histograms,
    threshold_of_share,
    uncertainty_scale,
)
from plopkit.lessons.thresholds.measures import FINE_BINS
from plopkit.pseudo import (
    Thresholds,
    median_thresholds,
    pseudo_label,
    released_histogram,
    released_thresholds,
    released_uncertainty,
    uncertainty,
)
from plopkit.scenario import IGNORE
from plopkit.thresholds import binned_median, released_median


def as_released(counts: list[int]) -> tuple[list[int], int, bool]:
    """The released loop: its total before each bin until it stops, the bin it ends in, and whether it stopped."""
    total, running, before = sum(counts), 0, []
    for i in range(100):
        before.append(running)
        count = counts[int(i / 100 * 100)]
        if running <= total / 2 <= running + count:
            return before, i, True
        running += i
    return before, 99, False


rows = st.dictionaries(st.sampled_from([*range(6), 28, 29, 57, 98, 99]), st.integers(0, 9000)).map(
    lambda few: [few.get(i, 0) for i in range(100)]
)


@settings(deadline=None, max_examples=60)
@given(st.lists(rows, min_size=1, max_size=3))
def test_the_trace_is_that_of_the_released_loop(counts: list[list[int]]) -> None:
    search = released_median(torch.tensor(counts))
    for n, row in enumerate(counts):
        before, end, stopped = as_released(row)
        assert search.total_before[: len(before)].tolist() == before
        assert search.counts[n].tolist() == [row[int(i / 100 * 100)] for i in range(100)]
        assert search.half[n].item() == sum(row) / 2
        assert (int(search.bin[n]), bool(search.found[n])) == (end, stopped)
        if stopped and sum(row) and search.counts[n, end]:
            value = end / 100 + (sum(row) / 2 - before[-1]) / int(search.counts[n, end]) / 100
            assert search.values[n].item() == pytest.approx(value, rel=1e-5)


@given(st.floats(0, 1))
def test_the_threshold_of_a_share_is_that_of_the_search_over_two_bins(share: float) -> None:
    first = round(share * 100_000)
    counts = torch.zeros(1, 100, dtype=torch.int64)
    counts[0, :2] = torch.tensor([first, 100_000 - first])
    expected = released_median(counts).values
    torch.testing.assert_close(threshold_of_share(torch.tensor([first / 100_000])), expected, rtol=1e-4, atol=0)


def test_a_search_that_stops_in_bin_0_gives_the_median() -> None:
    counts = torch.zeros(2, 100, dtype=torch.int64)
    counts[:, :3] = torch.tensor([[70, 20, 10], [40, 60, 0]])
    released, median = released_median(counts).values, binned_median(counts)
    assert released[0].item() == pytest.approx(median[0].item()) == pytest.approx(0.01 * 50 / 70)
    assert released[1].item() == pytest.approx(0.01 + 0.01 * 50 / 60)  # its running total is still 0
    assert median[1].item() == pytest.approx(0.01 + 0.01 * 10 / 60)


@pytest.mark.parametrize(("n_old", "n_seen"), [(2, 3), (16, 21), (101, 151)])
def test_the_scale_converts_one_measure_into_the_other(n_old: int, n_seen: int) -> None:
    logits = torch.randn(1, n_old, 5, 7, generator=torch.Generator().manual_seed(1)) * 2
    logits[0, :, 0, 0] = 0  # all channels are equal: the largest value
    released = released_uncertainty(logits) / math.log(n_seen)
    torch.testing.assert_close(released * uncertainty_scale(n_old, n_seen), uncertainty(logits), rtol=1e-4, atol=1e-5)
    assert released.max().item() == pytest.approx(1 / uncertainty_scale(n_old, n_seen), rel=1e-4)


def test_the_table_of_tasks() -> None:
    table = released_range(["voc 15-5 overlap", "voc 10-1 disjoint", "ade 100-50 overlap", "ade 50-50 overlap"])
    voc, ade = table.loc[("voc 15-5 overlap", 1)], table.loc[("ade 100-50 overlap", 1)]
    assert (voc["n_old"], voc["n_seen"], voc["bins"]) == (16, 21, 3)
    assert voc["largest"] == pytest.approx(1 / (16 * math.log(21)))
    assert voc["floor"] == pytest.approx(0.001 / voc["largest"])
    assert voc["bin 0"] == pytest.approx(0.01 / voc["largest"]) == pytest.approx(2 * voc["half bin"])
    assert (ade["bins"], ade["half bin"], ade["bin 0"]) == (1, 1, 1)
    assert ade["floor"] == pytest.approx(0.001 * 101 * math.log(151))
    assert len(table.loc["voc 10-1 disjoint"]) == 10
    assert table.loc[("voc 10-1 disjoint", 1), "bins"] == 4


@pytest.mark.parametrize("scenario", ["ade 100-50 overlap", "ade 100-10 overlap", "ade 50-50 overlap"])
def test_on_ade_every_pixel_is_confident(scenario: str) -> None:
    """The notebook derives it from the formula; here the code confirms it, also for the most uncertain pixels."""
    for n_old, n_seen in zip(released_range([scenario])["n_old"], released_range([scenario])["n_seen"], strict=True):
        logits = torch.randn(1, n_old, 4, 4, generator=torch.Generator().manual_seed(2))
        logits[0, :, 0] = torch.linspace(0, 1e-3, n_old)[:, None]
        target = torch.zeros(1, 4, 4, dtype=torch.int64)
        pseudo = pseudo_label(logits, target, n_old, released_thresholds([(logits, target)], n_old, n_seen))
        assert pseudo.sure.all()
        assert pseudo.factor.item() == pytest.approx(1)


def test_histograms_count_the_same_pixels_and_hold_the_thresholds() -> None:
    logits, target, _ = draw()
    histograms = teacher_histograms(logits, target, 6, temperature=1.5)
    batches = [(logits / 1.5, target)]
    assert torch.equal(histograms.released, released_histogram(batches, 4, 6))
    assert torch.equal(histograms.released.sum(1), histograms.fine.sum(1))
    assert histograms.fine.sum() == (target == 0).sum()
    torch.testing.assert_close(histograms.medians, median_thresholds(batches, 4, 6).values[:4])
    values = released_thresholds(batches, 4, 6, floor=0).values[:4]
    torch.testing.assert_close(released_median(histograms.released).values.clamp(min=0), values, equal_nan=True)
    measured = uncertainty(logits / 1.5)[target == 0] * FINE_BINS
    expected = torch.bincount(measured.long().clamp(max=FINE_BINS - 1), minlength=FINE_BINS)
    assert torch.equal(histograms.fine.sum(0), expected)


def test_a_temperature_is_positive() -> None:
    logits, target, _ = draw()
    with pytest.raises(ValueError, match="temperature is 0; it must be above 0"):
        teacher_histograms(logits, target, 6, temperature=0)


@pytest.mark.parametrize("kind", ["released", "median"])
def test_rates_against_a_loop(kind: str) -> None:
    logits, target, truth = draw(3)
    thresholds = Thresholds(torch.tensor([0.02, 0.03, 0.01, 0.0, 0.0, 0.0]) * (1 if kind == "released" else 15), kind)
    table = pseudo_label_rates(thresholds, logits, target, truth, NAMES)
    measured, predicted = thresholds.uncertainty(logits), logits.argmax(1)
    for channel in range(4):
        pixels = labelled = right = positives = hits = 0
        for place in (target == 0).nonzero().tolist():
            i, y, x = place
            if truth[i, y, x] == IGNORE:
                continue
            here = bool(predicted[i, y, x] == channel)
            confident = here and bool(measured[i, y, x] < thresholds.values[channel])
            true = bool(truth[i, y, x] == channel)
            pixels, labelled, right = pixels + here, labelled + confident, right + (confident and true)
            positives, hits = positives + true, hits + (confident and true)
        row = table.loc[NAMES[channel]]
        precision = 100 * right / labelled if labelled else math.nan
        expected = [pixels, 100 * labelled / pixels, precision, 100 * hits / positives]
        assert row[["pixels", "confident", "precision", "recall"]].tolist() == pytest.approx(expected, nan_ok=True)
        threshold = float(thresholds.values[channel]) * (uncertainty_scale(4, 6) if kind == "released" else 1)
        assert row["threshold"] == pytest.approx(threshold)
    background = (target == 0) & (truth != IGNORE)
    assert table.loc["all", "pixels"] == background.sum().item() == table["pixels"][:-1].sum()
    assert 0 < table.loc["all", "recall"] < 100


def test_exercises() -> None:
    assert check("09.1", 51).right
    assert not check("09.1", 50).right
    counts = torch.zeros(2, 100, dtype=torch.int64)
    counts[:, :3] = torch.tensor([[900, 700, 400], [9_000, 7_000, 4_000]])
    assert check("09.2", [0.001, math.inf], counts=counts).right
    assert not check("09.2", [math.inf, 0.001], counts=counts).right


def test_beyond_the_gap_are_classes_that_bin_0_holds_less_than_half_of() -> None:
    released = torch.zeros(4, 100, dtype=torch.long)
    released[:, :2] = torch.tensor([[5, 5], [4, 6], [0, 0], [0, 9]])
    histograms = Histograms(released, released, torch.zeros(4), 20.0)
    assert classes_beyond_the_gap(histograms, ["half", "less", "no pixel", "none", "a new class"]) == ["less", "none"]
