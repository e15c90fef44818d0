"""Explorers: controls set from code, the picture, and the message if it cannot be drawn."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor

import ipywidgets
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from plopkit.viz.png import png
from plopkit.widgets import Explorer


def bar(height: int, colour: str) -> Figure:
    if height == 0:
        raise ValueError("a bar of <no> height")
    figure = Figure(figsize=(1, 1))
    figure.subplots().bar([0], [height], color=colour)
    return figure


@pytest.fixture
def explorer() -> Explorer:
    controls = {"height": ipywidgets.IntSlider(1, 0, 5), "colour": ipywidgets.Dropdown(options=["red", "blue"])}
    return Explorer(bar, controls)


def pixels(explorer: Explorer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value)))


def test_changing_a_control_changes_the_picture(explorer):
    before = pixels(explorer)
    explorer.controls["colour"].value = "blue"
    after = pixels(explorer)
    assert (before != after).any()
    red, blue = [255, 0, 0], [0, 0, 255]
    assert (before[..., :3] == red).all(2).any() and not (after[..., :3] == red).all(2).any()
    assert (after[..., :3] == blue).all(2).any()


def test_several_values_are_drawn_once(explorer, monkeypatch):
    drawn = []
    monkeypatch.setattr(explorer, "_draw", lambda **values: drawn.append(values) or bar(**values))
    explorer.set(height=3, colour="blue")
    assert drawn == [{"height": 3, "colour": "blue"}] == [explorer.values]
    explorer.controls["height"].value = 4
    assert drawn[-1] == {"height": 4, "colour": "blue"}


def test_cached_pictures_are_not_drawn_again(explorer, monkeypatch):
    explorer.set(height=3)
    third = explorer.picture.value
    explorer.set(height=4)
    monkeypatch.setattr(explorer, "_draw", None)
    explorer.set(height=3)
    assert explorer.picture.value == third


def test_the_oldest_pictures_are_dropped(explorer, monkeypatch):
    monkeypatch.setattr("plopkit.widgets.explorer.MAX_PICTURES", 2)
    for height in (1, 2, 3, 4):
        explorer.set(height=height)
    drawn = []
    monkeypatch.setattr(explorer, "_draw", lambda **values: drawn.append(values["height"]) or bar(**values))
    for height in (4, 3, 1):
        explorer.set(height=height)
    assert drawn == [1]


def test_a_message_says_why_nothing_is_drawn_and_disappears(explorer):
    shown = explorer.picture.value
    explorer.set(height=0)
    assert "a bar of &lt;no&gt; height" in explorer.message.value
    assert explorer.picture.value == shown
    explorer.set(height=2)
    assert not explorer.message.value


def test_an_unknown_control(explorer):
    with pytest.raises(ValueError, match=r"no control 'hight' \(did you mean height\?\); known: height, colour"):
        explorer.set(hight=3)


def test_without_a_kernel_the_picture_is_shown(explorer):
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert base64.b64decode(bundle["image/png"]) == explorer.picture.value


def test_pictures_drawn_by_several_threads_at_once_are_whole():
    expected = {height: png(bar(height, "red")) for height in range(1, 6)}
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(lambda height: (height, png(bar(height, "red"))), [*range(1, 6)] * 6))
    for height, picture in pictures:
        assert picture == expected[height]


def test_a_picture_shows_nothing_of_the_one_before():
    alone = png(bar(1, "blue"))
    png(bar(5, "red"))
    assert png(bar(1, "blue")) == alone
