"""How every picture begins and ends: a figure with a title that fits, plain words, a legend below, no ticks."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text

from plopkit.viz.text import wrapped


class Plain(Figure):
    """A figure whose words are text: a class or a file may have dollar signs in its name, and is no formula."""

    def draw(self, renderer: RendererBase) -> None:
        for words in self.findobj(Text):
            text = words.get_text()
            ours = "$" in text and not text.startswith(r"$\mathdefault{")  # the powers of ten beside logarithmic axes
            words.set_parse_math(not ours)
        super().draw(renderer)


def titled(title: str, width: float, height: float) -> Figure:
    """A figure of so many inches, whose parts share the room that the title leaves."""
    figure = Plain(figsize=(width, height), layout="constrained")
    figure.suptitle(wrapped(title, width), fontsize=11)
    return figure


def legend_below(
    figure: Figure, handles: Sequence[Any], columns: int, credit: str = "", fontsize: int = 8, background: str = ""
) -> None:
    """The artists by their labels; ``credit`` names in small print whose pictures are shown.

    background: a colour for legends with white lines in them.
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
    """The axes' labels stay there, in parts of the axes: to look for room behind the ticks' numbers takes long."""
    axis.xaxis.set_label_coords(0.5, -below)
    axis.yaxis.set_label_coords(-left, 0.5)


def bare(axis: Axes) -> None:
    """A picture's axes: no ticks, no frame."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
