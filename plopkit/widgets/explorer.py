"""An explorer: controls, and a picture that follows them."""

import html
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets
from matplotlib.figure import Figure

from plopkit.support.errors import unknown_name
from plopkit.support.moved import renamed
from plopkit.viz.png import encoded, png

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


STYLE = {"description_width": "initial"}
"""The style of every control: its description gets as much room as it needs."""

MAX_PICTURES = 200
"""How many pictures an explorer caches, about twenty megabytes."""


class Explorer:
    """A picture with controls. Pictures are cached, so that moving back and forth between values is instant.

    Where no kernel runs (a static page), the last picture is shown in place of the widgets.

    Args:
        draw: makes the figure; its keyword arguments are the controls' values.
        controls: the widgets, by the name of the value that they hold.

    Example:
        >>> explorer = Explorer(lambda step: strip(examples, step), {"step": ipywidgets.IntSlider(0, 0, 5)})
        >>> explorer.set(step=1)  # moves the controls from code
        >>> explorer.figure()
    """

    def __init__(self, draw: Callable[..., Figure], controls: Mapping[str, Any]):
        self._draw = draw
        self.controls = dict(controls)
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "100%", "object_fit": "contain"})
        self.message = ipywidgets.HTML()
        """Why the chosen values cannot be drawn; empty if they can."""
        row = ipywidgets.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap"})
        self.box = ipywidgets.VBox([row, self.message, self.picture])
        self._paused = False
        self._cache: dict[tuple[Any, ...], bytes] = {}
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
        values = tuple(self.values.values())
        try:
            if values not in self._cache:
                if len(self._cache) == MAX_PICTURES:
                    self._cache.pop(next(iter(self._cache)))
                self._cache[values] = png(self.figure())
            self.picture.value = self._cache[values]
            self.message.value = ""
        except ValueError as error:
            self.message.value = f"<b>{html.escape(str(error))}</b>"

    def _changed(self, change: Any) -> None:
        if not self._paused:
            self.redraw()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return with_fallback(self.box, {"image/png": encoded(self.picture.value)})


def with_fallback(widget: Any, fallback: Mapping[str, Any]) -> dict[str, Any]:
    """A widget's MIME bundle together with ``fallback``, which is shown where no kernel runs."""
    return widget._repr_mimebundle_() | fallback
