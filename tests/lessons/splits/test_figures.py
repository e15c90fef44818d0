"""Figures of scenarios: schedules, targets, bars."""

from itertools import pairwise

import numpy as np
import pytest
from looking import cells, inside
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from plopkit.datasets.check import hidden_table, steps_table, voc_presence
from plopkit.lessons import splits
from plopkit.lessons.splits.figures import SHARES
from plopkit.scenario import IGNORE, Scenario
from plopkit.support import resources
from plopkit.viz.colours import OTHER_STEPS, PALETTE
from plopkit.viz.masks import overlay

NAMES = resources.class_names("voc")
PROTOCOLS = ("overlap", "disjoint", "sequential")


def texts(figure: Figure) -> list[str]:
    result = [text.get_text().strip() for axis in figure.axes for text in axis.texts]
    return result + [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def drawn(scenario: Scenario) -> Figure:
    return splits.schedule(scenario, NAMES, steps_table(scenario, *voc_presence()), (10582, 1449))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_schedule_has_a_cell_for_each_step_and_class(protocol: str) -> None:
    scenario = Scenario.parse(f"voc 10-5 {protocol} order=b")
    colours = drawn(scenario).axes[0].collections[0].get_array()
    for step in scenario.steps:
        for place, label in enumerate(scenario.order[1:]):
            shown = label in (step.seen if protocol == "sequential" else step.new)
            unseen = OTHER_STEPS["future" if protocol == "overlap" else "left out"]
            wanted = to_hex(PALETTE[label] / 255) if shown else OTHER_STEPS["old"] if label in step.old else unseen
            assert to_hex(colours[step.index, place]) == wanted


def test_a_schedule_shows_images_names_and_channels() -> None:
    scenario = Scenario.parse("voc 15-1 disjoint")
    figure = drawn(scenario)
    assert figure.get_suptitle() == "voc 15-1 disjoint"
    shown_words = texts(figure)
    for word in ("8,437", "378", "548", "1,240", "1,449", "step 5", "15 person", "20 tvmonitor", "1", "20"):
        assert shown_words.count(word) == 1
    assert "future: images that show it are left out" in shown_words
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert widths[:6] == pytest.approx([4.0 * n / 10582 for n in (8437, 378, 299, 420, 500, 548)])


@pytest.mark.parametrize("text", ["voc joint", "voc 10-1 overlap order=w", "voc 2-2 sequential", "voc 10-5 disjoint"])
def test_nothing_of_a_schedule_is_cut_off(text: str) -> None:
    assert inside(drawn(Scenario.parse(text)))


def test_twenty_steps_fit_on_a_screen() -> None:
    """An explorer has 600 pixels, and its controls and words take 150 of them; it is shown at nine tenths."""
    figure = drawn(Scenario.parse("voc 1-1 overlap"))
    assert 0.92 * 100 * figure.get_size_inches()[1] <= 450
    renderer = FigureCanvasAgg(figure).get_renderer()
    rows = [text for text in figure.axes[0].texts if text.get_text().startswith("step ")]
    boxes = [text.get_window_extent(renderer) for text in rows]
    assert len(boxes) == 20
    assert all(above.y0 >= below.y1 - 1 for above, below in pairwise(boxes))


def test_very_many_classes_have_no_names() -> None:
    scenario = Scenario.parse("ade 100-10 overlap")
    table = steps_table(scenario, np.ones((3, 256), bool), np.ones((2, 256), bool))
    figure = splits.schedule(scenario, resources.class_names("ade"), table, (3, 2))
    assert not any(word.startswith("1 ") for word in texts(figure))
    assert inside(figure)


def test_targets_are_drawn_in_the_colours_of_their_labels() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (3, 9, 8), np.uint8)
    mask = rng.choice([0, 3, 12, 20, 255], (9, 8)).astype(np.uint8)
    scenarios = {p: Scenario.parse(f"voc 15-1 {p} order=b") for p in PROTOCOLS}  # 20 and 12 are of step 0, 3 of step 2
    figure = splits.targets(image, mask, scenarios, NAMES, "one image")
    rows, columns, pictures = cells(figure)
    assert rows == list(PROTOCOLS)
    assert columns == ["image", "mask (labels)", *(f"target of step {k}" for k in range(6))]
    said = {(int(y), int(x)): text.get_text() for text in figure.axes[0].texts for x, y in [text.get_position()]}
    left_out = {}
    for line, (protocol, scenario) in enumerate(scenarios.items()):
        for place, step in enumerate(scenario.steps, start=2):
            used = bool({3, 12, 20} & set(step.new)) and (protocol == "overlap" or not {3, 12, 20} & set(step.future))
            if used:
                shown = [*(step.seen if protocol == "sequential" else step.new), IGNORE]
                wanted = overlay(image, np.where(np.isin(mask, shown), mask, 0).astype(np.uint8))
                assert (pictures[line, place] == wanted).all()
            else:
                left_out[line, place] = "not used"
    assert said == left_out
    assert [(line, 2) in left_out for line in range(3)] == [False, True, True]


def test_the_bars_of_the_background_are_stacked_to_a_hundred() -> None:
    counts = np.random.default_rng(1).integers(0, 50, (90, 256))
    counts[:, 21:] = 0
    counts *= np.random.default_rng(2).integers(0, 9, counts.shape) == 0
    tables = {p: hidden_table(Scenario.parse(f"voc 15-1 {p}"), counts) for p in ("overlap", "sequential")}
    figure = splits.hidden_bars(tables, "hidden")
    assert [axis.get_title() for axis in figure.axes] == list(tables)
    for axis, table in zip(figure.axes, tables.values(), strict=True):
        heights = np.array([patch.get_height() for patch in axis.patches]).reshape(len(SHARES), len(table))
        np.testing.assert_allclose(heights, table[list(SHARES)].to_numpy().T)
        np.testing.assert_allclose([p.get_y() + p.get_height() for p in axis.patches[-len(table) :]], 100)
    assert inside(figure)


def test_bars_of_classes_have_their_colours_and_the_mean() -> None:
    figure = splits.class_bars({"one": np.array([100.0, np.nan, 20.0])}, (0, 7, 3), NAMES, "scores")
    (axis,) = figure.axes
    assert axis.get_title() == "one: mIoU 60.0 %"
    assert [patch.get_height() for patch in axis.patches] == [100, 0, 20]
    assert [to_hex(patch.get_facecolor()) for patch in axis.patches[1:]] == [to_hex(PALETTE[c] / 255) for c in (7, 3)]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0 background", "7 car", "3 bird"]
    assert inside(figure)
