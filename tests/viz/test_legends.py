"""The cached legend: its layout, colours and words."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from plopkit.lessons.pseudo import OUTCOMES
from plopkit.viz.colours import colour_of
from plopkit.viz.legends import CachedLegend, entry_corners

NAMES = [f"class {label}" for label in range(21)]


def test_a_legend_has_room_for_a_full_image_and_all_mistakes() -> None:
    words = [*NAMES, *OUTCOMES.values()]
    width, height = 2.7, 4.2
    result = entry_corners(words, width, height)
    assert max(y for _, y in result) < height - 0.15
    assert len(set(result)) == len(result)
    for (x, y), (after, below), word in zip(result, result[1:], words, strict=False):
        end = after if y == below else width
        assert x + 0.26 + 0.06 * len(word) <= end + 0.1
    np.testing.assert_allclose(entry_corners(["a"] * 12, 4.0, 4.2)[:4], [(0, 0), (4 / 3, 0), (8 / 3, 0), (0, 0.19)])


def test_a_cached_legend_shows_its_colours_and_words() -> None:
    figure = Figure(figsize=(4, 2))
    legend = CachedLegend(figure, (0, 0, 4, 1), "by somebody")
    entries = [Patch(facecolor=colour_of(label), label=f"class {label}") for label in (1, 2)]
    legend.show(entries)
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    assert drawn.shape == (200, 800, 4)  # twice as fine as the screen
    for label in (1, 2):
        assert (drawn[..., :3] == np.round(255 * np.array(colour_of(label)))).all(-1).any()
    assert figure.axes[0].get_label() == "class 1; class 2; by somebody"
    legend.show(entries[:1])
    assert (np.asarray(figure.axes[0].images[0].get_array()) != drawn).any()
    legend.show(entries)
    assert (np.asarray(figure.axes[0].images[0].get_array()) == drawn).all()
