"""The released search for a median, the range of its measure, and the pixels that thresholds accept."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plopkit import viz
from plopkit.lessons import thresholds as lesson
from plopkit.lessons.thresholds import (
    Histograms,
    check,
    pseudo_label_rates,
    released_range,
    search_explorer,
    teacher_histograms,
    threshold_of_share,
    uncertainty_scale,
)
from plopkit.lessons.thresholds.figures import SearchView
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
from plopkit.thresholds import binned_median, released_median
from plopkit.viz.png import png

NAMES = [f"class {channel}" for channel in range(6)]


def draw(seed: int = 0, n_old: int = 4, n_seen: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """A teacher's logits, a target of background, new channels and 255, and true channels."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, n_old, 12, 9, generator=generator)
    kind = torch.rand(2, 12, 9, generator=generator)
    target = torch.where(kind < 0.7, 0, torch.where(kind < 0.9, n_seen - 1, 255))
    true = torch.randint(n_old, (2, 12, 9), generator=generator)
    truth = torch.where(kind < 0.4, logits.argmax(1), torch.where(kind < 0.65, true, target))
    return logits, target, truth


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


# --- the walk


@settings(deadline=None, max_examples=60)
@given(st.lists(rows, min_size=1, max_size=3))
def test_the_trace_is_that_of_the_released_loop(counts: list[list[int]]) -> None:
    walk = released_median(torch.tensor(counts))
    for n, row in enumerate(counts):
        before, end, stopped = as_released(row)
        assert walk.running[: len(before)].tolist() == before
        assert walk.looked[n].tolist() == [row[int(i / 100 * 100)] for i in range(100)]
        assert walk.half[n].item() == sum(row) / 2
        assert (int(walk.ends[n]), bool(walk.stopped[n])) == (end, stopped)
        if stopped and sum(row) and walk.looked[n, end]:
            value = end / 100 + (sum(row) / 2 - before[-1]) / int(walk.looked[n, end]) / 100
            assert walk.values[n].item() == pytest.approx(value, rel=1e-5)


@given(st.floats(0, 1))
def test_the_limit_of_a_share_is_what_the_walk_gives_over_two_bins(share: float) -> None:
    first = round(share * 100_000)
    counts = torch.zeros(1, 100, dtype=torch.int64)
    counts[0, :2] = torch.tensor([first, 100_000 - first])
    expected = released_median(counts).values
    torch.testing.assert_close(threshold_of_share(torch.tensor([first / 100_000])), expected, rtol=1e-4, atol=0)


def test_where_the_walk_stops_in_bin_0_it_is_the_median_of_these_bins() -> None:
    counts = torch.zeros(2, 100, dtype=torch.int64)
    counts[:, :3] = torch.tensor([[70, 20, 10], [40, 60, 0]])
    walked, median = released_median(counts).values, binned_median(counts)
    assert walked[0].item() == pytest.approx(median[0].item()) == pytest.approx(0.01 * 50 / 70)
    assert walked[1].item() == pytest.approx(0.01 + 0.01 * 50 / 60)  # its total is 0 once more
    assert median[1].item() == pytest.approx(0.01 + 0.01 * 10 / 60)


# --- what the released measure reaches


@pytest.mark.parametrize(("n_old", "n_seen"), [(2, 3), (16, 21), (101, 151)])
def test_the_scale_makes_one_measure_of_the_other(n_old: int, n_seen: int) -> None:
    logits = torch.randn(1, n_old, 5, 7, generator=torch.Generator().manual_seed(1)) * 2
    logits[0, :, 0, 0] = 0  # all channels alike: the largest value
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
def test_on_ade_every_pixel_is_sure(scenario: str) -> None:
    """The notebook says so from the formula; here the code says it of random and of wholly unsure pixels."""
    for n_old, n_seen in zip(released_range([scenario])["n_old"], released_range([scenario])["n_seen"], strict=True):
        logits = torch.randn(1, n_old, 4, 4, generator=torch.Generator().manual_seed(2))
        logits[0, :, 0] = torch.linspace(0, 1e-3, n_old)[:, None]
        target = torch.zeros(1, 4, 4, dtype=torch.int64)
        found = pseudo_label(logits, target, n_old, released_thresholds([(logits, target)], n_old, n_seen))
        assert found.sure.all()
        assert found.factor.item() == pytest.approx(1)


# --- what the limits let through


def test_histograms_count_the_same_pixels_and_hold_the_thresholds() -> None:
    logits, target, _ = draw()
    found = teacher_histograms(logits, target, 6, temperature=1.5)
    batches = [(logits / 1.5, target)]
    assert torch.equal(found.released, released_histogram(batches, 4, 6))
    assert torch.equal(found.released.sum(1), found.fine.sum(1))
    assert found.fine.sum() == (target == 0).sum()
    torch.testing.assert_close(found.medians, median_thresholds(batches, 4, 6).values[:4])
    values = released_thresholds(batches, 4, 6, floor=0).values[:4]
    torch.testing.assert_close(released_median(found.released).values.clamp(min=0), values, equal_nan=True)
    measured = uncertainty(logits / 1.5)[target == 0] * FINE_BINS
    expected = torch.bincount(measured.long().clamp(max=FINE_BINS - 1), minlength=FINE_BINS)
    assert torch.equal(found.fine.sum(0), expected)


def test_a_temperature_is_positive() -> None:
    logits, target, _ = draw()
    with pytest.raises(ValueError, match="temperature is 0; it must be above 0"):
        teacher_histograms(logits, target, 6, temperature=0)


@pytest.mark.parametrize("kind", ["released", "median"])
def test_let_through_against_loops(kind: str) -> None:
    logits, target, truth = draw(3)
    thresholds = Thresholds(torch.tensor([0.02, 0.03, 0.01, 0.0, 0.0, 0.0]) * (1 if kind == "released" else 15), kind)
    table = pseudo_label_rates(thresholds, logits, target, truth, NAMES)
    measured, predicted = thresholds.uncertainty(logits), logits.argmax(1)
    for channel in range(4):
        pixels = kept = hits = there = hit = 0
        for place in (target == 0).nonzero().tolist():
            i, y, x = place
            if truth[i, y, x] == 255:
                continue
            mine = bool(predicted[i, y, x] == channel)
            sure = mine and bool(measured[i, y, x] < thresholds.values[channel])
            true = bool(truth[i, y, x] == channel)
            pixels, kept, hits = pixels + mine, kept + sure, hits + (sure and true)
            there, hit = there + true, hit + (sure and true)
        row = table.loc[NAMES[channel]]
        expected = [pixels, 100 * kept / pixels, 100 * hits / kept if kept else math.nan, 100 * hit / there]
        assert row[["pixels", "confident", "precision", "recall"]].tolist() == pytest.approx(expected, nan_ok=True)
        limit = float(thresholds.values[channel]) * (uncertainty_scale(4, 6) if kind == "released" else 1)
        assert row["threshold"] == pytest.approx(limit)
    asked = (target == 0) & (truth < 255)
    assert table.loc["all", "pixels"] == asked.sum().item() == table["pixels"][:-1].sum()
    assert 0 < table.loc["all", "recall"] < 100


# --- pictures and the explorer


def words_of(figure) -> str:
    parts = [figure.get_suptitle()]
    for axis in figure.axes:
        legend = axis.get_legend()
        parts += [axis.get_title(), *(text.get_text() for text in (legend.get_texts() if legend else ()))]
    return " | ".join(parts)


@pytest.fixture(scope="module")
def found() -> dict[float, Histograms]:
    logits, target, _ = draw(1)
    return {t: teacher_histograms(logits, target, 6, t) for t in (1.0, 2.0, 5.0)}


def synthetic(counts: list[int]) -> Histograms:
    released = torch.zeros(1, 100, dtype=torch.int64)
    released[0, : len(counts)] = torch.tensor(counts)
    return Histograms(released, torch.ones(1, FINE_BINS, dtype=torch.int64), torch.tensor([0.3]), 40.0)


def test_a_walk_drawn_over_another_is_as_if_drawn_alone() -> None:
    view = SearchView(40.0)
    for counts in ([9000, 7000, 4000], [0], [30, 10]):
        again, alone = (
            view.show(synthetic(counts), 0, "cat"),
            lesson.threshold_search(synthetic(counts), 0, "cat"),
        )
        assert png(again) == png(alone)
    with pytest.raises(ValueError, match=r"scale 40, the histograms have 41"):
        view.show(synthetic([1])._replace(scale=41.0), 0, "cat")


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([30, 10], ("stops in bin 0", "the code's threshold: 0.27")),
        ([900, 700, 400], ("ends in bin 99", "the code's threshold: 0.04")),  # −inf, so the floor
        ([9000, 7000, 4000], ("ends in bin 99", "above all pixels")),
        ([0, 0, 0, 0, 2], ("stops in bin 2", "no pixel is confident")),  # half meets the total at an empty bin
        ([0], ("no pixels: the code returns 0", "the code's threshold: 0.04")),
    ],
)
def test_the_picture_of_a_walk_tells_its_end(counts: list[int], told: tuple[str, str]) -> None:
    words = words_of(lesson.threshold_search(synthetic(counts), 0, "cat"))
    assert words.startswith(f"cat: {sum(counts):,} background pixels")
    for part in told:
        assert part in words


def test_pictures_show_every_row_and_save(found: dict[float, Histograms]) -> None:
    logits, target, truth = draw(1)
    table = released_range(["voc 15-5 overlap", "ade 100-50 overlap"])
    rules = {"released": released_thresholds, "median": median_thresholds}
    tables = {
        name: pseudo_label_rates(f([(logits, target)], 4, 6), logits, target, truth, NAMES) for name, f in rules.items()
    }
    figures = {
        "share": lesson.threshold_by_share({f"temperature {t:g}": one for t, one in found.items()}, "shares"),
        "reach": lesson.range_bars(table, "reach"),
        "through": lesson.pseudo_label_dots(tables, "through"),
    }
    for figure in figures.values():
        assert png(figure)
    assert [text.get_text() for text in figures["share"].axes[0].get_legend().get_texts()][1:] == [
        "temperature 1", "temperature 2", "temperature 5",
    ]  # fmt: skip
    ticks = [text.get_text() for text in figures["reach"].axes[0].get_yticklabels()]
    assert ticks == ["voc 15-5 overlap, step 1", "ade 100-50 overlap, step 1"]
    rows = [text.get_text() for text in figures["through"].axes[0].get_yticklabels()]
    assert rows == [*NAMES[:4], "all"]
    assert len(figures["through"].axes) == 4


def test_labelled_pictures() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 3, 8, 8), np.uint8)
    masks = {"truth": rng.choice([0, 1, 255], (2, 8, 8)), "median": rng.choice([0, 2, 255], (2, 8, 8))}
    figure = lesson.target_grid(pictures, masks, ["background", "cat", "dog"], "title", "a credit")
    assert [axis.get_title() for axis in figure.axes[:3]] == ["image", "truth", "median"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["background", "cat", "dog", "ignored"]
    assert figure.legends[0].get_title().get_text() == "a credit"
    assert np.array_equal(figure.axes[4].images[0].get_array(), viz.overlay(pictures[1], masks["truth"][1]))


def test_the_explorer_follows_its_controls(found: dict[float, Histograms]) -> None:
    explorer = search_explorer(found, NAMES[:4])
    assert explorer.values == {"channel": 0, "temperature": 1.0}
    before = explorer.picture.value
    explorer.set(channel=2, temperature=5.0)
    assert explorer.picture.value != before
    assert "class 2: " in words_of(explorer.figure())
    with pytest.raises(ValueError, match="there are no histograms"):
        search_explorer({}, NAMES)


# --- exercises


def test_exercises() -> None:
    assert check("09.1", 51).right
    assert not check("09.1", 50).right
    counts = torch.zeros(2, 100, dtype=torch.int64)
    counts[:, :3] = torch.tensor([[900, 700, 400], [9_000, 7_000, 4_000]])
    assert check("09.2", [0.001, math.inf], counts=counts).right
    assert not check("09.2", [math.inf, 0.001], counts=counts).right
