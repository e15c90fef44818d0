"""Curves: axes, titles, legends, means over seeds."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from drawing import draw_examples as examples
from looking import inside
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from plopkit.viz import domain_curves, forgetting_curves, loss_curves, strip

pytestmark = pytest.mark.usefixtures("no_pyplot")


@pytest.fixture
def summary() -> pd.DataFrame:
    """Two methods, two seeds, three steps."""
    rows = [
        {"scenario": "s", "method": m, "seed": s, "step": k, "old_nobg": 60.0 - k + s, "new": 10.0 * k or np.nan}
        | {"all": 50.0 - k}
        for m in ("ft", "plop (optim.lr 0.1)")
        for s in (0, 2)
        for k in range(3)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def ticks() -> pd.DataFrame:
    """Step 0 has one term, step 1 adds two, and one of these is also in step 2."""
    rows = [{"step": k, "iteration": i, "loss_ce": 2.0 - i / 99} for k in (0, 1, 2) for i in range(80)]
    table = pd.DataFrame(rows)
    table["loss_kd"] = np.where(table["step"] == 1, 5.0, np.nan)
    table["loss_pod"] = np.where(table["step"] > 0, 7.0, np.nan)
    return table


def legend_of(figure: Figure) -> Legend:
    (legend,) = figure.legends
    return legend


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in legend_of(figure).get_texts()]


def test_forgetting_curves_show_title_axes_and_methods(summary: pd.DataFrame) -> None:
    figure = forgetting_curves(summary, "Forgetting on s")
    assert isinstance(figure, Figure)
    assert figure.get_suptitle() == "Forgetting on s"
    assert [axis.get_title() for axis in figure.axes] == [
        "classes of step 0, without background",
        "classes learnt since",
        "all classes and background",
    ]
    assert figure.axes[0].get_ylabel() == "mIoU (%)"
    assert {axis.get_xlabel() for axis in figure.axes} == {"after step"}
    assert words(figure) == ["ft", "plop (optim.lr 0.1)"]
    assert legend_of(figure).get_title().get_text() == "method"
    assert inside(figure)


def test_forgetting_curves_draw_the_mean_over_seeds(summary: pd.DataFrame) -> None:
    old, new, everything = forgetting_curves(summary, "t").axes
    assert old.get_lines()[0].get_ydata().tolist() == [61, 60, 59]
    assert new.get_lines()[1].get_xdata().round().tolist() == [1, 2]  # nothing is new at step 0
    assert new.get_lines()[1].get_ydata().tolist() == [10, 20]
    assert everything.get_lines()[0].get_ydata().tolist() == [50, 49, 48]
    band = old.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (58, 62)
    assert list(old.get_xticks()) == [0, 1, 2]


@pytest.mark.parametrize("last", [0, 1, 5])
def test_no_marker_hides_another(summary: pd.DataFrame, last: int) -> None:
    rows = summary[(summary["method"] == "ft") & (summary["step"] == 0)]
    equal = pd.concat([rows.assign(method=m, step=k, new=40.0) for m in ("ft", "mib", "plop") for k in range(last + 1)])
    domains = equal.assign(domain="Rome", learned_at=last, miou=40.0)
    for figure in (forgetting_curves(equal, "t"), domain_curves(domains, "t")):
        FigureCanvasAgg(figure).draw()
        for axis in figure.axes:
            lines = [line for line in axis.get_lines() if line.get_label()[0] != "_"]
            points = [axis.transData.transform(line.get_xydata())[-1] for line in lines]
            between = np.diff(np.array(points)[:, 0]) * 72 / figure.dpi
            assert (between > lines[0].get_markersize()).all(), between


def test_curves_say_what_they_show(summary: pd.DataFrame, ticks: pd.DataFrame) -> None:
    alt = forgetting_curves(summary, "Forgetting on s").alt
    assert alt.startswith("Forgetting on s: curves of mIoU in percent, from the first step to the last. ")
    assert "classes learnt since: ft 10.0 to 20.0, plop (optim.lr 0.1) 10.0 to 20.0;" in alt
    assert "Step 1: ce 2 to 1.21, kd 5 to 5, pod 7 to 7;" in loss_curves(ticks, "t").alt


def test_curves_of_one_step_and_of_very_many(summary: pd.DataFrame) -> None:
    one = forgetting_curves(summary[summary["step"] == 0], "one")
    assert list(one.axes[0].get_xticks()) == [0]
    assert [text.get_text() for text in one.axes[1].texts] == ["none"]
    assert not one.axes[0].texts
    assert inside(one)
    many = pd.concat([summary.assign(step=k) for k in range(40)])
    assert len(forgetting_curves(many, "many").axes[0].get_xticks()) <= 14


def test_loss_curves_show_title_axes_and_terms(ticks: pd.DataFrame) -> None:
    figure = loss_curves(ticks, "losses of a run")
    assert figure.get_suptitle() == "losses of a run"
    assert [axis.get_title() for axis in figure.axes] == ["step 0", "step 1", "step 2"]
    assert {axis.get_xlabel() for axis in figure.axes} == {"iteration"}
    assert figure.axes[0].get_ylabel() == "weighted loss"
    assert [len(axis.get_lines()) for axis in figure.axes] == [1, 3, 2]
    assert sorted(words(figure)) == ["ce", "kd", "pod"]
    assert inside(figure)


def test_a_loss_term_has_one_colour_in_all_panels(ticks: pd.DataFrame) -> None:
    figure = loss_curves(ticks, "t")
    ce, pod = ({axis.get_lines()[i].get_color() for axis in figure.axes[1:]} for i in (0, -1))
    assert len(ce) == len(pod) == 1
    assert ce != pod
    lines = dict(zip(words(figure), legend_of(figure).get_lines(), strict=True))
    assert lines["pod"].get_color() == next(iter(pod))
    assert len({line.get_color() for line in lines.values()}) == 3


def test_losses_are_smoothed_over_a_fortieth_and_zero_is_no_error(ticks: pd.DataFrame) -> None:
    line = loss_curves(ticks, "t").axes[0].get_lines()[0]
    raw = ticks.loc[ticks["step"] == 0, "loss_ce"].to_numpy()
    np.testing.assert_allclose(line.get_ydata(), [raw[0], *((raw[1:] + raw[:-1]) / 2)])
    assert inside(loss_curves(ticks.assign(loss_ce=0.0), "zero"))


def test_pictures_are_the_same_every_time(summary: pd.DataFrame) -> None:
    def pixels(draw: Callable[[], Figure]) -> bytes:
        canvas = FigureCanvasAgg(draw())
        canvas.draw()
        return bytes(canvas.buffer_rgba())

    for draw in (lambda: forgetting_curves(summary, "t"), lambda: strip(examples(1, 1), "t")):
        assert pixels(draw) == pixels(draw)
