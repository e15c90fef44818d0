"""A figure of pictures that is updated in place."""

import numpy as np
import pytest
from matplotlib.patches import Patch

from plopkit.viz.colours import colour_of
from plopkit.viz.panels import Panels
from plopkit.viz.png import pixels

pytestmark = pytest.mark.usefixtures("no_pyplot")


@pytest.fixture
def panels() -> Panels:
    places = [(0.1, 0.5, 1.0, 1.0), (1.2, 0.5, 1.0, 1.0)]
    return Panels((4, 2), places, ["left", "right"], (2.4, 0.5, 1.5, 1.0), "by somebody")


def solid(red: int) -> np.ndarray:
    return np.full((5, 5, 3), (red, 0, 0), np.uint8)


def test_pictures_are_in_their_places(panels: Panels) -> None:
    drawn = pixels(panels.show("a title", [solid(200), solid(100)], [], ""))
    assert drawn.shape == (200, 400, 4)
    assert drawn[100, 60, :3].tolist() == [200, 0, 0]
    assert drawn[100, 170, :3].tolist() == [100, 0, 0]
    assert drawn[100, 115, :3].tolist() == [255, 255, 255]
    assert panels.figure.get_suptitle() == "a title"


def test_an_update_replaces_everything_and_adds_nothing(panels: Panels) -> None:
    entry = Patch(facecolor=colour_of(1), label="class 1")
    first = pixels(panels.show("first", [solid(200), solid(100)], [entry], ""))
    n_artists = len(panels.figure.findobj())
    panels.titles[0].set_text("changed")
    second = pixels(panels.show("second", [solid(10), solid(20)], [], ""))
    assert second[100, 60, :3].tolist() == [10, 0, 0]
    assert len(panels.figure.findobj()) == n_artists
    panels.titles[0].set_text("left")
    assert (pixels(panels.show("first", [solid(200), solid(100)], [entry], "")) == first).all()


def test_the_number_of_pictures_has_to_fit(panels: Panels) -> None:
    with pytest.raises(ValueError, match="shorter"):
        panels.show("a title", [solid(200)], [], "")
