"""The figures of terms and gradients show the numbers of their table."""

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from plopkit.lessons import gradients as lesson
from plopkit.viz.colours import method_styles

pytestmark = pytest.mark.usefixtures("no_pyplot")


def test_term_bars(table: pd.DataFrame) -> None:
    axis = lesson.term_bars(table, "title").axes[0]
    bars = axis.containers[0]
    assert [bar.get_width() for bar in bars] == [1.5, 1.5, 600.0, 0.0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["ft · ce", "ilt · ce", "ilt · mse", "mib · kd"]
    assert [text.get_text() for text in axis.texts] == ["1.5", "1.5", "600", "0"]
    styles = method_styles(["ft", "ilt", "mib"])
    assert to_rgb(bars[3].get_facecolor()) == to_rgb(styles["mib"]["color"])
    assert axis.get_ylim() == (3.5, -0.5)  # the first on top


def test_gradient_map(table: pd.DataFrame) -> None:
    axis = lesson.gradient_map(table, "title").axes[0]
    cells = [text.get_text() for text in axis.texts]
    assert cells == ["1", "0.5", "1", "0.5", "4000", "0", "3e-8", "0.02"]
    masked = axis.images[0].get_array().mask
    assert masked.tolist() == [[False, False], [False, False], [False, True], [False, False]]
    assert axis.get_ylabel() == "method · term"
    with pytest.raises(ValueError, match="no term of the table has a gradient"):
        lesson.gradient_map(table * 0, "title")


def test_method_bars_share_an_axis(table: pd.DataFrame) -> None:
    axes = {method: lesson.method_bars(table, method).axes[0] for method in ("ft", "ilt", "mib")}
    assert len({axis.get_ylim() for axis in axes.values()}) == 1
    assert [[bar.get_height() for bar in bars] for bars in axes["ilt"].containers] == [[1.0, 0.5], [4000.0, 0.0]]
    for axis in axes.values():
        FigureCanvasAgg(axis.figure).draw()
        assert axis.yaxis.label.get_window_extent().x0 > 0  # not clipped
    with pytest.raises(ValueError, match="no method 'plop'; known: ft, ilt, mib"):
        lesson.method_bars(table, "plop")
