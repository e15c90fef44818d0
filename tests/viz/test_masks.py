"""Overlays and strips."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from drawing import draw_examples as examples
from looking import cells, inside
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from plopkit.viz import overlay, strip, strips
from plopkit.viz.colours import PALETTE, colour_of
from plopkit.viz.masks import grid

pytestmark = pytest.mark.usefixtures("no_pyplot")


def legend_of(figure: Figure) -> Legend:
    (legend,) = figure.legends
    return legend


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in legend_of(figure).get_texts()]


def test_overlay_against_a_loop() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (3, 6, 5), np.uint8)
    mask = rng.choice([0, 1, 2, 20, 255], (6, 5)).astype(np.uint8)
    result = overlay(image, mask, 0.75)
    assert (result.dtype, result.shape) == (np.uint8, (6, 5, 3))
    for y in range(6):
        for x in range(5):
            grey = sum(float(image[c, y, x]) for c in range(3)) / 3
            for c in range(3):
                colour = float(PALETTE[mask[y, x], c])
                wanted = {0: 0.6 * grey, 255: 255.0}.get(int(mask[y, x]), 0.25 * grey + 0.75 * colour)
                assert abs(result[y, x, c] - int(wanted)) <= 1


def test_16_bits_show_label_255_and_leave_65535_white() -> None:
    image, mask = np.zeros((3, 1, 4), np.uint8), np.array([[0, 255, 300, 65535]], np.uint16)
    colours = overlay(image, mask, 1.0)[0].tolist()
    assert colours[0] == [0, 0, 0] and colours[3] == [255, 255, 255]
    assert colours[1] == (255 * np.array(colour_of(255, 65535))).round().tolist() != [255, 255, 255]
    assert colours[2] == (255 * np.array(colour_of(300, 65535))).round().tolist()
    assert [colour_of(label, 65535) for label in range(255)] == [colour_of(label) for label in range(255)]


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


def test_the_legend_of_a_strip_shows_the_classes_that_occur() -> None:
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
    assert (0, 4) not in drawn  # fine-tuning has not finished step 2 yet
    image = runs["plop"]["images"][1]
    assert (drawn[1, 4] == overlay(image, runs["plop"]["predictions"][2, 1])).all()
    assert words(figure)[0] == "background"
    assert inside(figure)


def test_wide_pictures_leave_no_empty_rows() -> None:
    def made(high: int, wide: int) -> Figure:
        rows = [[np.zeros((high, wide, 3), np.uint8)] * 3] * 2
        return grid(rows, ["a", "b"], list("xyz"), {0}, ["background"], "title", "", "alt")

    wide, square, high = (made(*size).get_size_inches() for size in ((60, 90), (90, 90), (90, 60)))
    assert wide[0] == square[0] == high[0] and tuple(square) == tuple(high)
    assert square[1] - wide[1] == pytest.approx(2 * 1.55 / 3)
    figure = made(60, 90)
    FigureCanvasAgg(figure).draw()
    (axis,) = figure.axes
    corners = axis.transData.transform([(0, 0), (1, 1)])
    across, down = abs(corners[1] - corners[0])
    assert down / across == pytest.approx(2 / 3)  # a row is as high as its pictures
    left, right, bottom, top = axis.images[0].get_extent()
    assert (bottom - top) * down / ((right - left) * across) == pytest.approx(2 / 3)  # which are not stretched
