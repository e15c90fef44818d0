"""Pictures: what stands on them, colours, overlays, and no state left in pyplot."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from looking import cells, inside
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from plopkit.lessons.forgetting import drop_bars
from plopkit.support import resources
from plopkit.viz import forgetting_curves, loss_curves, overlay, strip, strips
from plopkit.viz.colours import PALETTE, colour_of
from plopkit.viz.figures import titled
from plopkit.viz.png import pixels
from plopkit.viz.text import wrapped

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
    """Step 0 has one term; step 1 has two, of which one is there in step 2 as well."""
    rows = [{"step": k, "iteration": i, "loss_ce": 2.0 - i / 99} for k in (0, 1, 2) for i in range(80)]
    table = pd.DataFrame(rows)
    table["loss_kd"] = np.where(table["step"] == 1, 5.0, np.nan)
    table["loss_pod"] = np.where(table["step"] > 0, 7.0, np.nan)
    return table


def examples(n: int = 2, steps: int = 2, side: int = 12) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    masks = rng.choice([0, 1, 4, 255], (n, side, side)).astype(np.uint8)
    return {
        "images": rng.integers(0, 256, (n, 3, side, side), np.uint8),
        "masks": masks,
        "predictions": rng.choice([0, 1, 9], (steps, n, side, side)).astype(np.uint8),
        "stems": np.array([f"image-{i}" for i in range(n)]),
        "names": np.array(resources.class_names("voc")),
    }


def legend_of(figure: Figure) -> Legend:
    (legend,) = figure.legends
    return legend


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in legend_of(figure).get_texts()]


# Curves


def test_forgetting_curves_tell_title_axes_and_methods(summary: pd.DataFrame) -> None:
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
    assert new.get_lines()[1].get_xdata().tolist() == [1, 2]  # nothing is new at step 0
    assert new.get_lines()[1].get_ydata().tolist() == [10, 20]
    assert everything.get_lines()[0].get_ydata().tolist() == [50, 49, 48]
    band = old.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (58, 62)
    assert list(old.get_xticks()) == [0, 1, 2]


def test_curves_of_one_step_and_of_very_many(summary: pd.DataFrame) -> None:
    one = forgetting_curves(summary[summary["step"] == 0], "one")
    assert list(one.axes[0].get_xticks()) == [0]
    assert [text.get_text() for text in one.axes[1].texts] == ["none"]
    assert not one.axes[0].texts
    assert inside(one)
    many = pd.concat([summary.assign(step=k) for k in range(40)])
    assert len(forgetting_curves(many, "many").axes[0].get_xticks()) <= 14


def test_loss_curves_tell_title_axes_and_terms(ticks: pd.DataFrame) -> None:
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


# Colours


def test_overlay_against_a_loop() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (3, 6, 5), np.uint8)
    mask = rng.choice([0, 1, 2, 20, 255], (6, 5)).astype(np.uint8)
    found = overlay(image, mask, 0.75)
    assert (found.dtype, found.shape) == (np.uint8, (6, 5, 3))
    for y in range(6):
        for x in range(5):
            grey = sum(float(image[c, y, x]) for c in range(3)) / 3
            for c in range(3):
                colour = float(PALETTE[mask[y, x], c])
                wanted = {0: 0.6 * grey, 255: 255.0}.get(int(mask[y, x]), 0.25 * grey + 0.75 * colour)
                assert abs(found[y, x, c] - int(wanted)) <= 1


# Strips


def test_a_strip_shows_images_truth_and_every_step() -> None:
    shown = examples(n=2, steps=3)
    figure = strip(shown, "a run")
    rows, columns, drawn = cells(figure)
    assert figure.get_suptitle() == "a run"
    assert columns == ["image", "truth", "after step 0", "after step 1", "after step 2"]
    assert rows == ["image-0", "image-1"]
    assert len(drawn) == 10
    for row in range(2):
        image, mask = shown["images"][row], shown["masks"][row]
        assert (drawn[row, 0] == image.transpose(1, 2, 0)).all()
        assert (drawn[row, 1] == overlay(image, mask)).all()
        for step in range(3):
            assert (drawn[row, 2 + step] == overlay(image, shown["predictions"][step, row])).all()


def test_the_legend_of_a_strip_names_what_occurs_in_its_colour() -> None:
    figure = strip(examples(), "a run")
    assert words(figure) == ["background", "aeroplane", "boat", "chair", "ignored"]
    colours = [patch.get_facecolor()[:3] for patch in legend_of(figure).get_patches()]
    assert colours[1:] == [colour_of(1), colour_of(4), colour_of(9), colour_of(255)]
    assert len(set(colours[0])) == 1  # background shows the picture in grey
    assert 0 < colours[0][0] < 0.6


@pytest.mark.parametrize(("n", "steps", "long"), [(1, 1, False), (6, 2, False), (1, 1, True), (2, 6, True)], ids=str)
def test_nothing_on_a_strip_is_cut_off(n: int, steps: int, long: bool) -> None:
    shown = examples(n, steps)
    shown["masks"] = np.arange(n * 144).reshape(n, 12, 12).astype(np.uint8) % 21
    if long:
        shown["names"] = np.array([f"a class with quite a long name {label}" for label in range(21)])
    order = ",".join(map(str, range(1, 21)))
    assert inside(strip(shown, f"folder 15-5 overlap order={order}, PLOP, seed 0" if long else "a run"))


def test_long_names_of_rows_do_not_run_into_each_other() -> None:
    shown = examples(n=3, steps=1)
    shown["stems"] = np.array([f"frankfurt_00000{k}_064130_leftImg8bit" for k in range(3)])
    figure = strip(shown, "a run")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [word.get_window_extent(canvas.get_renderer()) for word in figure.axes[0].get_yticklabels()]
    assert all(above.y0 > below.y1 for above, below in pairwise(boxes))
    assert [name.replace("\n", "") for name in cells(figure)[0]] == list(shown["stems"])


def test_strips_put_methods_side_by_side() -> None:
    runs: Mapping[str, Mapping[str, np.ndarray]] = {"ft": examples(steps=2), "plop": examples(steps=3)}
    figure = strips(runs, 1, "one image")
    rows, columns, drawn = cells(figure)
    assert figure.get_suptitle() == "one image"
    assert rows == ["ft", "plop"]
    assert columns[2:] == ["after step 0", "after step 1", "after step 2"]
    assert (0, 4) not in drawn  # fine-tuning has not come so far yet
    image = runs["plop"]["images"][1]
    assert (drawn[1, 4] == overlay(image, runs["plop"]["predictions"][2, 1])).all()
    assert words(figure)[0] == "background"
    assert inside(figure)


@pytest.mark.parametrize("name", ["$a_{$", "cost$ of $x"])
def test_names_are_text_and_no_formulas(name: str) -> None:
    shown = examples(n=1, steps=1) | {"names": np.array([name] * 21), "stems": np.array([name])}
    lost = pd.DataFrame({"method": name, "learned_at": 0, "label": [1, 2], "name": name, "forgetting": 1.0})
    for figure in (strip(shown, name), drop_bars(lost, name)):
        pixels(figure)
        told = [word for word in figure.findobj(Text) if name in word.get_text()]
        assert len(told) > 3 and not any(word.get_parse_math() for word in told)


def test_powers_of_ten_stay_formulas() -> None:
    figure = titled("t", 3, 2)
    axis = figure.subplots()
    axis.set(yscale="log", ylim=(1e-5, 1))
    for _ in range(2):
        pixels(figure)
        words = [label for label in axis.get_yticklabels() if label.get_text()]
        assert words and all(word.get_parse_math() for word in words)


def test_pictures_are_the_same_every_time(summary: pd.DataFrame) -> None:
    def pixels(draw: Callable[[], Figure]) -> bytes:
        canvas = FigureCanvasAgg(draw())
        canvas.draw()
        return bytes(canvas.buffer_rgba())

    for draw in (lambda: forgetting_curves(summary, "t"), lambda: strip(examples(1, 1), "t")):
        assert pixels(draw) == pixels(draw)


def test_titles_are_wrapped_between_words_and_labels() -> None:
    assert wrapped("short", 10) == "short"
    lines = wrapped("folder 2-1 overlap order=" + ",".join("123456789"), 3).split("\n")
    assert len(lines) == 2
    assert lines[0].endswith(",")
