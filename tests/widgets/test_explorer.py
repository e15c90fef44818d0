"""Explorers: controls set from code, the picture, and the message if it cannot be drawn."""

import base64
import html
import io
import re
from concurrent.futures import ThreadPoolExecutor

import ipywidgets
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from plopkit.viz.png import SHARP, png
from plopkit.widgets import Explorer, outputs
from plopkit.widgets.controls import choice


def bar(height: int, colour: str) -> Figure:
    if height == 0:
        raise ValueError("a bar of <no> height")
    figure = Figure(figsize=(1, 1))
    figure.subplots().bar([0], [height], color=colour)
    figure.suptitle(f"a {colour} bar")
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


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What was displayed, in order."""
    bundles: list[dict] = []
    monkeypatch.setattr(outputs, "display", lambda data, raw: bundles.append(data))
    return bundles


def test_without_a_kernel_the_picture_and_its_words_are_shown(explorer, shown):
    explorer._ipython_display_()
    widget, stand_in = shown
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert base64.b64encode(explorer.picture.value).decode() in stand_in["text/html"]
    assert (
        "<figcaption>a red bar</figcaption>" in stand_in["text/html"]
        and html.escape(outputs.RUN_ALL) in stand_in["text/html"]
    )
    assert "a red bar" in explorer.words.value
    (key,) = [name for name in explorer.box._dom_classes if name.startswith("plopkit-")]
    assert f":root:has(.{key}) .{key}-stand-in {{display: none}}" in stand_in["text/html"]


def test_without_a_person_the_key_frames_are_shown(shown):
    controls = {"height": ipywidgets.IntSlider(1, 0, 5), "colour": ipywidgets.Dropdown(options=["red", "blue"])}
    frames = {"low & red": {"height": 2}, "blue": {"colour": "blue"}}
    explorer = Explorer(bar, controls, frames)
    before = explorer.values
    explorer._ipython_display_()
    page = shown[1]["text/html"]
    assert re.findall(r"> ([^<]+)</label>", page) == ["low &amp; red", "blue"]
    pictures = [png(bar(**(before | values)), SHARP) for values in frames.values()]
    assert [base64.b64decode(data) for data in re.findall(r"base64,([^\"]+)", page)] == pictures
    buttons, figures = re.findall(r'<input[^>]* id="([^"]+)"', page), re.findall(r'<figure class="([^"]+)"', page)
    assert buttons == figures and page.count(" checked>") == 1
    assert all(f":has(#{name}:checked) > figure.{name} {{display: block}}" in page for name in buttons)
    assert explorer.values == before


def test_with_a_person_the_current_picture_stands_in_and_controls_get_names(explorer, shown, monkeypatch):
    monkeypatch.setattr("plopkit.widgets.explorer.is_interactive", lambda: True)
    monkeypatch.setattr(outputs, "is_interactive", lambda: True)
    explorer.frames = {"blue": {"colour": "blue"}}
    explorer._ipython_display_()
    assert shown[1]["text/html"].count("<img") == 1 and "<input" not in shown[1]["text/html"]
    script = shown[2]["application/javascript"]
    (key,) = [name for name in explorer.box._dom_classes if name.startswith("plopkit-")]
    assert f'querySelectorAll(".{key}")' in script and "KEY" not in script


def test_an_explorer_that_cannot_be_drawn_shows_why(shown):
    Explorer(bar, {"height": ipywidgets.IntSlider(0, 0, 5), "colour": ipywidgets.Text("red")})._ipython_display_()
    assert "a bar of &lt;no&gt; height" in shown[1]["text/html"]


def test_few_options_are_buttons_and_many_a_list():
    few = choice([("one", 1), ("two", 2)], "number", "which number", 2)
    assert isinstance(few, ipywidgets.ToggleButtons) and (few.value, few.description) == (2, "number")
    assert isinstance(choice(range(100), "number", "which number"), ipywidgets.Dropdown)


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
