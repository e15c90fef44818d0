"""An explorer: controls, and a picture that follows them."""

import html
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from plopkit.support.errors import unknown
from plopkit.viz.png import encoded, png

STYLE = {"description_width": "initial"}
"""Of every control: its description has the room that it needs."""

KEPT = 200
"""How many pictures an explorer keeps, some twenty megabytes."""


class Explorer:
    """``draw(**values)`` gives the picture; ``controls`` are the widgets that hold the values, by name. What was drawn
    lately is kept: who goes back and forth is not kept waiting.

    Without a browser, ``explorer.set(step=1)`` moves the controls, and ``explorer.figure()`` is the picture. Where no
    kernel runs, the last picture stands in the widgets' place.
    """

    def __init__(self, draw: Callable[..., Figure], controls: Mapping[str, Any]):
        self._draw = draw
        self.controls = dict(controls)
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "100%", "object_fit": "contain"})
        self.told = ipywidgets.HTML()
        """What is wrong with the values chosen, where they cannot be drawn."""
        style = {"flex_flow": "row wrap"}
        self.box = ipywidgets.VBox(
            [ipywidgets.HBox(list(self.controls.values()), layout=style), self.told, self.picture]
        )
        self._quiet = False
        self._drawn: dict[tuple[Any, ...], bytes] = {}
        for control in self.controls.values():
            control.observe(self._changed, names="value")
        self.redraw()

    @property
    def values(self) -> dict[str, Any]:
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values: Any) -> None:
        """Move several controls and draw once; ValueError for a name that no control has."""
        for name in values:
            if name not in self.controls:
                raise unknown("control", name, self.controls)
        self._quiet = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._quiet = False
        self.redraw()

    def figure(self) -> Figure:
        """The picture for the values chosen."""
        return self._draw(**self.values)

    def redraw(self) -> None:
        values = tuple(self.values.values())
        try:
            if values not in self._drawn:
                if len(self._drawn) == KEPT:
                    self._drawn.pop(next(iter(self._drawn)))
                self._drawn[values] = png(self.figure())
            self.picture.value = self._drawn[values]
            self.told.value = ""
        except ValueError as error:
            self.told.value = f"<b>{html.escape(str(error))}</b>"

    def _changed(self, change: Any) -> None:
        if not self._quiet:
            self.redraw()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return standing_in(self.box, {"image/png": encoded(self.picture.value)})


def standing_in(widget: Any, still: Mapping[str, Any]) -> dict[str, Any]:
    """A widget's MIME bundle, and beside it what stands there where no kernel runs."""
    return widget._repr_mimebundle_() | still
