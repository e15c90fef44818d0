"""Pictures of forgetting against their tables and arrays."""

import matplotlib.colors as mcolors
import numpy as np
import pytest
from lesson_tables import LEARNED_AT, forgetting_examples, results
from looking import inside
from matplotlib.patches import Rectangle

from plopkit.lessons.forgetting import KINDS, class_matrix, drop_bars, mistakes_figure, trade_off
from plopkit.lessons.forgetting.figures import PANELS, colour_mistakes
from plopkit.runs.results import forgetting_table, summarise
from plopkit.scenario import IGNORE
from plopkit.viz import overlay
from plopkit.viz.colours import IGNORED, MISTAKES


def test_every_kind_has_its_name_and_colour() -> None:
    assert len(KINDS) == len(MISTAKES) == len(set(MISTAKES.values()))
    drawn = colour_mistakes(np.array([[0, 1, 2, 3, IGNORE]], np.uint8))[0]
    expected = [*MISTAKES.values(), IGNORED]
    assert [mcolors.to_hex(colour / 255) for colour in drawn] == [colour.lower() for colour in expected]


def test_the_mistakes_figure_shows_its_arrays() -> None:
    run = forgetting_examples()
    arrays = (run.images[0], run.truth(2)[0], run.predictions[2, 0], run.mistakes(2)[0], run.uncertainty[2, 0])
    figure = mistakes_figure(*arrays, run.names, "a title", run.credit)
    (axis,) = figure.axes
    drawn = [np.asarray(image.get_array()) for image in axis.images]
    assert (drawn[0] == arrays[0].transpose(1, 2, 0)).all()
    assert (drawn[1] == overlay(arrays[0], arrays[1])).all() and (drawn[2] == overlay(arrays[0], arrays[2])).all()
    assert (drawn[3] == colour_mistakes(arrays[3])).all()
    words = [text.get_text() for text in axis.texts]
    assert {"a title", *PANELS, "background", "aeroplane", "ignored", "a credit"} <= set(words)
    share = (arrays[3] == 1).sum() / (arrays[3] != IGNORE).sum()
    assert f"old class predicted as background: {share:.0%}" in words
    assert inside(figure)


def test_many_long_names_are_not_cut_off() -> None:
    names = ["background", *(f"a rather long name {i}" for i in range(1, 40))]
    labels = np.arange(64, dtype=np.uint8).reshape(8, 8) % 40
    blank = np.zeros((8, 8), np.uint8)
    figure = mistakes_figure(
        np.zeros((3, 8, 8), np.uint8), labels, labels, blank, np.zeros((8, 8), np.float32), names, "t"
    )
    assert inside(figure)
    boxes = [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    assert len({(p.get_x(), p.get_y()) for p in boxes}) == len(boxes) == 40 + 3 + len(KINDS)


def test_the_matrix_holds_the_mean_over_seeds_and_is_empty_before_a_class_is_learnt() -> None:
    table = results()
    figure = class_matrix(table, "a matrix")
    panels = figure.axes[:2]
    assert [axis.get_title() for axis in panels] == ["ft", "plop"]
    names = [text.get_text() for text in panels[0].get_yticklabels()]
    assert names == ["background (0)", "aeroplane (0)", "bicycle (0)", "bottle (1)", "chair (2)"]
    for axis, method in zip(panels, ("ft", "plop"), strict=True):
        values = np.ma.filled(axis.images[0].get_array().astype(float), np.nan)
        for row, (label, learnt_in) in enumerate(LEARNED_AT.items()):
            for step in range(3):
                chosen = table[(table["method"] == method) & (table["label"] == label) & (table["step"] == step)]
                expected = sum(chosen["iou"]) / 2 if learnt_in <= step else np.nan
                np.testing.assert_allclose(values[row, step], expected)
        assert len(axis.texts) == 3 * 3 + 2 + 1
        assert [line.get_ydata()[0] for line in axis.get_lines()] == [2.5, 3.5]
    assert inside(figure)


def test_the_drops_are_those_of_the_table() -> None:
    lost = forgetting_table(results())
    figure = drop_bars(lost, "drops")
    (axis,) = figure.axes
    names = [text.get_text() for text in axis.get_xticklabels()]
    assert names == ["background", "aeroplane", "bicycle", "bottle"]  # chair is learnt last
    for bars, method in zip(axis.containers, ("ft", "plop"), strict=True):
        for bar, label in zip(bars, (0, 1, 2, 5), strict=True):
            chosen = lost[(lost["method"] == method) & (lost["label"] == label)]
            assert bar.get_height() == pytest.approx(sum(chosen["forgetting"]) / 2)
    assert inside(figure)
    table = forgetting_table(results(steps=1))
    assert len(drop_bars(table, "one step").axes[0].containers[0]) == 3


def test_the_trade_off_goes_through_the_steps() -> None:
    summary = summarise(results(seeds=(0,)))
    figure = trade_off(summary, "trade")
    (axis,) = figure.axes
    before, path, last, *_ = axis.get_lines()
    ft = summary[summary["method"] == "ft"]
    assert before.get_ydata()[0] == pytest.approx(summary.loc[summary["step"] == 0, "old_nobg"].mean())
    assert path.get_xdata().tolist() == ft["new"].tolist()[1:]
    assert path.get_ydata().tolist() == ft["old_nobg"].tolist()[1:]
    assert (last.get_xdata()[0], last.get_ydata()[0]) == (ft["new"].iloc[-1], ft["old_nobg"].iloc[-1])
    assert [t.get_text() for t in axis.texts] == ["1", "2"] * 2
    assert inside(figure)
    assert len(trade_off(summarise(results(steps=1)), "one step").axes[0].get_lines()) == 1
