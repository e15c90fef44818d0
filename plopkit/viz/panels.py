"""A figure of pictures that is made once and then updated, fast enough to follow a slider.

matplotlib spends most of its time on making axes and on drawing text. So axes, titles and labels are made once and
keep their places; an update replaces pixels and a few words only, and the legend is drawn again only when its entries
change.

The explorers of lessons 03 and 04 use `Panels`. That of lesson 09 shows no pictures: matplotlib's own setters update
its bars and lines, and it needs nothing from here. That of lesson 07 changes its size with its legends, so it draws a
new figure each time, all of it in one pair of axes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from plopkit.viz.figures import Place, Plain, axes_at
from plopkit.viz.legends import CachedLegend
from plopkit.viz.style import styled


class Panels:
    """Pictures in fixed places, each with a title above it, and a legend.

    Args:
        size: width and height of the figure in inches.
        places: places of the pictures.
        titles: titles of the pictures.
        legend: the place of the legend.
        credit: attribution of the images, shown in small print below the legend.
    """

    @styled
    def __init__(
        self,
        size: tuple[float, float],
        places: Sequence[Place],
        titles: Sequence[str],
        legend: Place,
        credit: str = "",
    ):
        self.figure = Plain(figsize=size)
        self._title = self.figure.suptitle("", fontsize=11)
        axes = [axes_at(self.figure, place) for place in places]
        blank = np.zeros((2, 2, 3), np.uint8)
        self._images = [axis.imshow(blank, extent=(0, 1, 0, 1), interpolation="nearest") for axis in axes]
        self.titles = [axis.set_title(title, fontsize=9, y=1.01) for axis, title in zip(axes, titles, strict=True)]
        """The pictures' titles; their text and colour may be changed."""
        for axis in axes:
            axis.set_axis_off()
        self._legend = CachedLegend(self.figure, legend, credit)

    def add_axes(self, place: Place) -> Axes:
        """Axes for something other than a picture, such as curves."""
        return axes_at(self.figure, place)

    def show(
        self, title: str, pictures: Sequence[UInt8[Any, "_ _ 3"]], legend: Sequence[Patch | Line2D], alt: str
    ) -> Figure:
        """Replace the figure's title, the pictures, the legend's entries and the alt text."""
        self._title.set_text(title)
        self.figure.alt = alt
        for image, picture in zip(self._images, pictures, strict=True):
            image.set_data(picture)
        self._legend.show(legend)
        return self.figure
