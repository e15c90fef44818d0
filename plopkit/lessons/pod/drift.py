"""How far nets drift from their teacher while a step is trained: a picture that is drawn once and then changed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, UInt8
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LinearLocator, MaxNLocator

from plopkit.lessons.pod.maps import heated, line_handles
from plopkit.viz.colours import HEAT, method_styles
from plopkit.viz.figures import Plain, pinned
from plopkit.viz.legends import Swatches, class_patches
from plopkit.viz.masks import overlay


class DriftView:
    """The truth, each method's distances by region, and its total against the iterations, of one image at a time.

    methods: titles by name, in the order of the panels; names by label; old: labels of the old classes.
    """

    def __init__(self, methods: Mapping[str, str], names: Sequence[str], old: Sequence[int], credit: str = ""):
        self.names, self.old, self.methods = names, old, methods
        count = 1 + len(methods)
        width = 2.15 * count + 4.1
        self.figure = Plain(figsize=(width, 3.5))
        self._title = self.figure.suptitle("", fontsize=11)
        part = 2.05 / width
        places = [(0.1 + 2.15 * k) / width for k in range(count)]
        axes = [self.figure.add_axes((left, 0.22, part, 0.6)) for left in places]
        blank = np.zeros((2, 2, 3), np.uint8)
        self._images = [axis.imshow(blank, extent=(0, 1, 0, 1), interpolation="nearest") for axis in axes]
        self._heads = [axis.set_title("truth", fontsize=9, y=1.01) for axis in axes]
        for axis in axes:
            axis.set_axis_off()
        self._norm = Normalize(0, 1)
        bar_axis = self.figure.add_axes(((0.15 + 2.15 * count) / width, 0.24, 0.12 / width, 0.56))
        self.figure.colorbar(ScalarMappable(self._norm, HEAT), cax=bar_axis, ticks=LinearLocator(3), format="%.3g")
        bar_axis.tick_params(labelsize=7)
        bar_axis.set_ylabel("the region's part", fontsize=8)
        self._curves = self.figure.add_axes(((1.45 + 2.15 * count) / width, 0.25, 2.45 / width, 0.53))
        self._curves.set_title("distance of the whole image", fontsize=9, y=1.01)
        self._curves.set_xlabel("iterations of the step", fontsize=8)
        self._curves.tick_params(labelsize=7)
        pinned(self._curves, 0.14, 0.2)
        self._curves.yaxis.set_major_locator(MaxNLocator(3))
        self._curves.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        self._curves.grid(alpha=0.3)
        styles = method_styles(list(methods))
        self._lines = [
            self._curves.plot([], [], color=style["color"], marker=style["marker"], markersize=4)[0]
            for style in styles.values()
        ]
        for head, style in zip(self._heads[1:], styles.values(), strict=True):
            head.set_color(style["color"])  # the curves' legend
        self._now = self._curves.axvline(0, color="0.3", linestyle="--", linewidth=1)
        self._legend = Swatches(self.figure, 0.1, 2.75, width - 3.2, 0.74, credit)

    def show(
        self,
        picture: UInt8[Any, "3 H W"],
        mask: Integer[Any, "H W"],
        heats: Mapping[str, Float[Any, "s s"]],
        shape: tuple[int, int],
        top: float,
        distances: Mapping[str, Sequence[float]],
        done: Sequence[int],
        moment: int,
        title: str,
    ) -> Figure:
        """heats: each method's parts at this moment; shape: height and width of the map compared; top: the value of the
        last colour; distances: each method's totals after so many iterations as ``done`` says."""
        self._title.set_text(title)
        self._images[0].set_data(overlay(np.asarray(picture), np.asarray(mask)))
        for place, (method, name) in enumerate(self.methods.items()):
            self._images[place + 1].set_data(heated(picture, mask, heats[method], shape, top, self.old))
            self._heads[place + 1].set_text(f"{name}: distance {float(distances[method][moment]):.4g}")
            self._lines[place].set_data(done, distances[method])
        self._norm.vmax = max(top, 1e-12)
        self._now.set_xdata([done[moment]] * 2)
        highest = max(float(np.max(np.asarray(values))) for values in distances.values())
        self._curves.set(xlim=(-0.02 * done[-1], 1.02 * done[-1]), ylim=(-0.03 * highest, 1.06 * highest or 1))
        self._legend.show([*class_patches(np.asarray(mask), self.names), *line_handles()])
        return self.figure
