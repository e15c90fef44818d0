"""The figures of lesson 09, and its explorer."""

import numpy as np
import pytest
import torch
from teachers import NAMES, draw

from plopkit import viz
from plopkit.lessons import thresholds as lesson
from plopkit.lessons.thresholds import (
    Histograms,
    pseudo_label_rates,
    released_range,
    search_explorer,
    teacher_histograms,
)
from plopkit.lessons.thresholds.figures import SearchView
from plopkit.lessons.thresholds.measures import FINE_BINS
from plopkit.pseudo import (
    median_thresholds,
    released_thresholds,
)
from plopkit.scenario import IGNORE
from plopkit.viz.png import png


def words_of(figure) -> str:
    parts = [figure.get_suptitle()]
    for axis in figure.axes:
        legend = axis.get_legend()
        parts += [axis.get_title(), *(text.get_text() for text in (legend.get_texts() if legend else ()))]
    return " | ".join(parts)


@pytest.fixture(scope="module")
def histograms() -> dict[float, Histograms]:
    """By temperature."""
    logits, target, _ = draw(1)
    return {t: teacher_histograms(logits, target, 6, t) for t in (1.0, 2.0, 5.0)}


def synthetic(counts: list[int]) -> Histograms:
    released = torch.zeros(1, 100, dtype=torch.int64)
    released[0, : len(counts)] = torch.tensor(counts)
    return Histograms(released, torch.ones(1, FINE_BINS, dtype=torch.int64), torch.tensor([0.3]), 40.0)


def test_an_updated_figure_equals_a_new_one() -> None:
    view = SearchView(40.0)
    for counts in ([9000, 7000, 4000], [0], [30, 10]):
        updated, new = view.show(synthetic(counts), 0, "cat"), lesson.threshold_search(synthetic(counts), 0, "cat")
        assert png(updated) == png(new)
    with pytest.raises(ValueError, match=r"scale 40, the histograms have 41"):
        view.show(synthetic([1])._replace(scale=41.0), 0, "cat")


@pytest.mark.parametrize(
    ("counts", "messages"),
    [
        ([30, 10], ("stops in bin 0", "the code's threshold: 0.27")),
        ([900, 700, 400], ("ends in bin 99", "the code's threshold: 0.04")),  # −inf, so the floor is used
        ([9000, 7000, 4000], ("ends in bin 99", "above all pixels")),
        (
            [0, 0, 0, 0, 2],
            ("stops in bin 2", "no pixel is confident"),
        ),  # half is reached at an empty bin
        ([0], ("no pixels: the code returns 0", "the code's threshold: 0.04")),
    ],
)
def test_the_figure_says_how_the_search_ends(counts: list[int], messages: tuple[str, str]) -> None:
    words = words_of(lesson.threshold_search(synthetic(counts), 0, "cat"))
    assert words.startswith(f"cat: {sum(counts):,} background pixels")
    for message in messages:
        assert message in words


def test_figures_show_every_row(histograms: dict[float, Histograms]) -> None:
    logits, target, truth = draw(1)
    table = released_range(["voc 15-5 overlap", "ade 100-50 overlap"])
    rules = {"released": released_thresholds, "median": median_thresholds}
    tables = {
        name: pseudo_label_rates(f([(logits, target)], 4, 6), logits, target, truth, NAMES) for name, f in rules.items()
    }
    figures = {
        "share": lesson.threshold_by_share(
            {f"temperature {t:g}": series for t, series in histograms.items()}, "shares"
        ),
        "reach": lesson.range_bars(table, "reach"),
        "through": lesson.pseudo_label_dots(tables, "through"),
    }
    for figure in figures.values():
        assert png(figure)
    assert [text.get_text() for text in figures["share"].axes[0].get_legend().get_texts()][1:] == [
        "temperature 1", "temperature 2", "temperature 5",
    ]  # fmt: skip
    series = [line for line in figures["share"].axes[0].get_lines() if str(line.get_label()).startswith("temperature")]
    heights = [line.get_zorder() for line in series]
    assert heights == sorted(heights, reverse=True) and len(set(heights)) == 3  # the teacher as it is: not hidden
    ticks = [text.get_text() for text in figures["reach"].axes[0].get_yticklabels()]
    assert ticks == ["voc 15-5 overlap, step 1", "ade 100-50 overlap, step 1"]
    rows = [text.get_text() for text in figures["through"].axes[0].get_yticklabels()]
    assert rows == [*NAMES[:4], "all"]
    assert len(figures["through"].axes) == 4


def test_targets_are_overlaid_on_their_images() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 3, 8, 8), np.uint8)
    masks = {"truth": rng.choice([0, 1, IGNORE], (2, 8, 8)), "median": rng.choice([0, 2, IGNORE], (2, 8, 8))}
    figure = lesson.target_grid(pictures, masks, ["background", "cat", "dog"], "title", "a credit")
    assert [axis.get_title() for axis in figure.axes[:3]] == ["image", "truth", "median"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["background", "cat", "dog", "ignored"]
    assert figure.legends[0].get_title().get_text() == "a credit"
    assert np.array_equal(figure.axes[4].images[0].get_array(), viz.overlay(pictures[1], masks["truth"][1]))


def test_the_explorer_follows_its_controls(histograms: dict[float, Histograms]) -> None:
    explorer = search_explorer(histograms, NAMES[:4])
    assert explorer.values == {"channel": 0, "temperature": 1.0}
    before = explorer.picture.value
    explorer.set(channel=2, temperature=5.0)
    assert explorer.picture.value != before
    assert "class 2: " in words_of(explorer.figure())
    with pytest.raises(ValueError, match="there are no histograms"):
        search_explorer({}, NAMES)
