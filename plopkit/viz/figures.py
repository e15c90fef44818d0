"""What all figures share: a title that fits, words without mathematics, a legend below, places in inches."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text

from plopkit.support.printable import printable
from plopkit.viz.text import wrapped

Place = tuple[float, float, float, float]
"""Left, top, width and height in inches, from the figure's upper left corner."""


class Plain(Figure):
    """A figure that shows dollar signs as they are: names of classes and files are not formulas."""

    def draw(self, renderer: RendererBase) -> None:
        for text in self.findobj(Text):
            words = text.get_text()
            if words != (harmless := printable(words)):  # a stranger's class name
                text.set_text(harmless)
            power_of_ten = words.startswith(r"$\mathdefault{")  # by matplotlib, on logarithmic axes
            text.set_parse_math("$" not in words or power_of_ten)
        super().draw(renderer)


def titled(title: str, width: float, height: float) -> Figure:
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
