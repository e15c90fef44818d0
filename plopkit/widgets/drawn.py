"""A figure in a widget that changes: its picture, and below it a sentence that says what it shows."""

import html
from typing import Any, NamedTuple

import ipywidgets
from matplotlib.figure import Figure

from plopkit.viz.figures import alt_of, width_of
from plopkit.viz.png import LEGIBLE, SHARP, picture_html, png


class Drawn(NamedTuple):
    """A figure as a picture, with its alt text."""

    picture: bytes
    alt: str
    width: int
    """On the screen, in CSS pixels."""

    @classmethod
    def of(cls, figure: Figure) -> "Drawn":
        """Draw the figure."""
        return cls(png(figure, SHARP), alt_of(figure), width_of(figure))

    def as_html(self) -> str:
        """The picture with its words below."""
        return f"{picture_html(*self)}<figcaption>{html.escape(self.alt)}</figcaption>"

    def show_in(self, picture: ipywidgets.Image, words: ipywidgets.HTML) -> None:
        """Replace what the widgets of `make_picture` show."""
        picture.layout.width = f"{self.width}px"
        picture.layout.max_width = f"max(100%, {min(self.width, LEGIBLE)}px)"
        picture.value = self.picture
        words.value = f'<div class="plopkit-words" role="status" style="line-height:1.4">{html.escape(self.alt)}</div>'


def make_picture() -> tuple[ipywidgets.Image, ipywidgets.HTML, Any]:
    """Widgets for a picture and for its words, and a box of both. On a narrow screen the picture scrolls by itself."""
    picture = ipywidgets.Image(format="png", layout={"height": "auto", "flex": "none", "margin": "0"})
    words = ipywidgets.HTML()
    scrolled = ipywidgets.Box([picture], layout={"overflow": "auto", "max_width": "100%"})
    box = ipywidgets.VBox([scrolled, words])
    box.add_class("plopkit-pictured")
    return picture, words, box
