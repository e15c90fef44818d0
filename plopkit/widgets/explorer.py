"""An explorer: controls, and a picture that follows them."""

import html
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets
from matplotlib.figure import Figure

from plopkit.support.errors import unknown_name
from plopkit.support.kernels import is_interactive
from plopkit.support.moved import renamed
from plopkit.widgets.drawn import Drawn, make_picture
from plopkit.widgets.outputs import show, slides

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


STYLE = {"description_width": "initial"}
"""The style of every control: its description gets as much room as it needs."""

FITTING = "calc(100% - 4px)"
"""The widest that a control may be, on a phone as well: it has a margin of 2 pixels on either side."""

MOST_FRAMES = 8
"""How many key frames an explorer has at most: each is a picture in the page."""

MAX_PICTURES = 120
"""How many pictures an explorer caches, about twenty megabytes."""


class Explorer:
    """A picture with controls, and a sentence below that says what it shows.

    Pictures are cached, so that moving back and forth between values is instant. Where no kernel runs, on a static page
    or in a notebook that was opened again, the last picture or the key frames are shown in place of the widgets.

    Args:
        draw: makes the figure; its keyword arguments are the controls' values.
        controls: the widgets, by the name of the value that they hold.
        frames: key frames for pages without a kernel: values of some controls, by the words of the frame.

    Example:
        >>> explorer = Explorer(lambda step: strip(examples, step), {"step": ipywidgets.IntSlider(0, 0, 5)})
        >>> explorer.set(step=1)  # moves the controls from code
        >>> explorer.figure()
    """

    def __init__(
        self,
        draw: Callable[..., Figure],
        controls: Mapping[str, Any],
        frames: Mapping[str, Mapping[str, Any]] | None = None,
    ):
        self._draw = draw
        self.controls = dict(controls)
        self.frames = dict(frames or {})
        self.picture, self.words, pictured = make_picture()
        self.message = ipywidgets.HTML()
        """Why the chosen values cannot be drawn; empty if they can."""
        row = ipywidgets.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([row, self.message, pictured])
        self._paused = False
        self._cache: dict[tuple[Any, ...], Drawn] = {}
        self._shown: Drawn | None = None
        for control in self.controls.values():
            control.observe(self._changed, names="value")
        self.redraw()

    @property
    def values(self) -> dict[str, Any]:
        """The controls' values, by name."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values: Any) -> None:
        """Set several controls and draw once.

        Raises:
            ValueError: there is no control of this name.
        """
        for name in values:
            if name not in self.controls:
                raise unknown_name("control", name, self.controls)
        self._paused = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._paused = False
        self.redraw()

    def figure(self) -> Figure:
        """The picture of the current values."""
        return self._draw(**self.values)

    def redraw(self) -> None:
        """Show the picture of the current values, or why they cannot be drawn."""
        try:
            drawn = self._drawn(self.values)
        except ValueError as error:
            self.message.value = f"<b>{html.escape(str(error))}</b>"
            return
        self.message.value, self._shown = "", drawn
        drawn.show_in(self.picture, self.words)

    def _drawn(self, values: dict[str, Any]) -> Drawn:
        key = tuple(values.values())
        if key not in self._cache:
            if len(self._cache) == MAX_PICTURES:
                self._cache.pop(next(iter(self._cache)))
            self._cache[key] = Drawn.of(self._draw(**values))
        return self._cache[key]

    def _changed(self, change: Any) -> None:
        if not self._paused:
            self.redraw()

    def _ipython_display_(self) -> None:
        """The widgets, and in their place without a kernel the picture; without a person, the key frames."""
        if self.frames and not is_interactive():
            frames = {words: self._drawn(self.values | dict(values)) for words, values in self.frames.items()}
            show(self.box, slides({words: drawn.as_html() for words, drawn in frames.items()}))
        else:
            show(self.box, self._shown.as_html() if self._shown else self.message.value)
