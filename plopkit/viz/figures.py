"""What all figures share: titles that fit, alt texts, words without mathematics, a legend below, places in inches."""

import sys
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from plopkit.support.printable import one_line, printable
from plopkit.viz.png import SHARP, picture_html, png
from plopkit.viz.text import wrapped

Place = tuple[float, float, float, float]
"""Left, top, width and height in inches, from the figure's upper left corner."""


class Plain(Figure):
    """A figure that shows dollar signs as they are, and says in a sentence what it shows.

    Names of classes and files are not formulas. In a notebook the figure is twice as fine as the screen that it was
    laid out for, so that it stays sharp when it is projected or enlarged.
    """

    alt: str = ""
    """What the figure shows, in a sentence made from its numbers: the alt text in a notebook and in saved files."""

    def draw(self, renderer: Any) -> None:
        for text in self.findobj(Text):
            words = text.get_text()
            if words != (harmless := printable(words)):  # a stranger's class name
                text.set_text(harmless)
            power_of_ten = words.startswith(r"$\mathdefault{")  # by matplotlib, on logarithmic axes
            text.set_parse_math("$" not in words or power_of_ten)
        super().draw(renderer)

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save the figure, in PNG and SVG with its alt text as the description."""
        named = Path(fname).suffix.removeprefix(".") if isinstance(fname, str | PathLike) else ""
        kind = options.get("format") or named or matplotlib.rcParams["savefig.format"]
        if kind in ("png", "svg"):
            options["metadata"] = {"Description": alt_of(self)} | (options.get("metadata") or {})
        super().savefig(fname, **options)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """An <img> with an alt text: JupyterLab has none for a bare PNG."""
        _take_over_from_matplotlib()
        return mime_bundle(self)


def mime_bundle(figure: Figure) -> dict[str, str]:
    """A figure for a notebook, by MIME type: a sharp picture with its alt text, and the alt text alone."""
    alt = alt_of(figure)
    return {"text/html": picture_html(png(figure, SHARP, level=6), alt, width_of(figure)), "text/plain": alt}


def width_of(figure: Figure) -> int:
    """How wide the figure is on a screen, in CSS pixels."""
    return round(100 * figure.get_size_inches()[0])


def alt_of(figure: Figure) -> str:
    """The figure's alt text; of a figure without one, such as a user's own, its title."""
    title = " ".join(filter(None, [figure.get_suptitle(), *(axis.get_title() for axis in figure.axes)]))
    return one_line(getattr(figure, "alt", "") or title or "a figure", 2000)


def _take_over_from_matplotlib() -> None:
    """Keep matplotlib's notebook backend from drawing the figure once more, as a PNG that has no alt text."""
    if "IPython" in sys.modules:
        from IPython.core.getipython import get_ipython

        if (shell := get_ipython()) is not None and shell.display_formatter is not None:
            shell.display_formatter.formatters["image/png"].for_type(Plain, lambda figure: None)


def titled(title: str, width: float, height: float) -> Plain:
    """A figure of this size in inches, with a title; its axes share the rest of the space."""
    figure = Plain(figsize=(width, height), layout="constrained")
    figure.suptitle(wrapped(title, width), fontsize=11)
    return figure


def axes_at(figure: Figure, place: Place) -> Axes:
    """Axes in a fixed place: no time is spent on finding out how much space their labels need."""
    left, top, width, height = place
    wide, high = figure.get_size_inches()
    return figure.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))


def legend_below(
    figure: Figure, handles: Sequence[Any], columns: int, credit: str = "", fontsize: int = 8, background: str = ""
) -> None:
    """Add a legend of these artists, by their labels, below everything else.

    Args:
        columns: number of columns of the legend.
        credit: attribution of the images, shown in small print.
        background: a colour, for legends with white lines.
    """
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=columns,
        fontsize=fontsize,
        title=credit or None,
        title_fontsize=6,
        frameon=bool(background),
        facecolor=background or "inherit",
    )


def pinned(axis: Axes, below: float, left: float) -> None:
    """Fix the places of the axis labels, in fractions of the axes; to measure the tick labels each time is slow."""
    axis.xaxis.set_label_coords(0.5, -below)
    axis.yaxis.set_label_coords(-left, 0.5)


def bare(axis: Axes) -> None:
    """Remove ticks and frame, as for a picture."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
