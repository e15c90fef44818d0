"""Figures of a growing net."""

import numpy as np
import pytest
from drawing import draw
from matplotlib.colors import to_rgb

from plopkit.lessons import growing
from plopkit.support import resources
from plopkit.viz.colours import colour_of

N_OLD, N_NEW = 6, 4
NAMES = resources.class_names("voc")
pytestmark = pytest.mark.usefixtures("no_pyplot")


def test_resolutions_show_the_coarse_and_the_fine_prediction() -> None:
    image = np.zeros((3, 12, 12), np.uint8)
    small, large = np.array([[0, 1], [4, 4]]), np.zeros((12, 12), int)
    large[6:] = 4
    figure = growing.resolutions(image, small, large, NAMES, "title", "credit")
    assert [axis.get_title() for axis in figure.axes] == ["image", "small: 2 x 2", "logits: 12 x 12"]
    coarse = np.asarray(figure.axes[1].images[0].get_array())
    assert coarse.shape == (12, 12, 3)
    assert (coarse[:6, 6:] == coarse[0, 6]).all() and (coarse[0, 6] != coarse[0, 0]).any()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [NAMES[0], NAMES[1], NAMES[4]]


def test_before_and_after_differ_below_zero_only() -> None:
    features = draw(4, 5, 6, 6).numpy()
    figure = growing.before_and_after(np.zeros((3, 8, 8), np.uint8), features, 2, 0.01, "title")
    before, after = (np.asarray(axis.images[0].get_array()) for axis in figure.axes[1:3])
    np.testing.assert_array_equal(before, features[2])
    np.testing.assert_array_equal(after[before > 0], before[before > 0])
    np.testing.assert_allclose(after[before < 0], 0.01 * before[before < 0])
    assert figure.axes[1].images[0].norm.vmax == figure.axes[2].images[0].norm.vmax


def test_classifier_view_has_a_line_before_the_new_rows() -> None:
    rows = draw(5, N_OLD + N_NEW, 9).numpy()
    figure = growing.classifier_view(rows, range(N_OLD + N_NEW), N_OLD, NAMES, "title")
    assert np.asarray(figure.axes[0].images[0].get_array()).shape == (10, 8)
    assert list(figure.axes[0].lines[0].get_ydata()) == [N_OLD - 0.5] * 2
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(NAMES[:10])


@pytest.mark.parametrize("n", [21, 151])
def test_probability_bars_have_the_classes_colours(n: int) -> None:
    before = np.full(n - 5, 1 / (n - 5))
    after = {"balanced": np.full(n, 1 / n), "random": np.linspace(0.001, 0.9, n)}
    figure = growing.probability_bars(before, after, range(n), [str(label) for label in range(n)], "title")
    assert [axis.get_title() for axis in figure.axes] == list(after)
    for axis, values in zip(figure.axes, after.values(), strict=True):
        old, new = axis.containers
        np.testing.assert_allclose([bar.get_height() for bar in old], before)
        np.testing.assert_allclose([bar.get_height() for bar in new], values)
        assert to_rgb(new[7].get_facecolor()) == colour_of(7)
    named = [text.get_text() for text in figure.axes[-1].get_xticklabels()]
    assert (named == [str(label) for label in range(n)]) == (n == 21)
