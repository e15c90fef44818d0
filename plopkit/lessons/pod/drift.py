"""How far nets drift from their teacher while a step is trained: a figure that is updated in place."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, UInt8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LinearLocator, MaxNLocator

from plopkit.lessons.pod.figures import heated, outline_handles
from plopkit.viz.colours import HEAT, method_styles
from plopkit.viz.figures import pinned
from plopkit.viz.legends import class_patches
from plopkit.viz.masks import overlay
from plopkit.viz.panels import Panels
from plopkit.viz.words import contents, each

STRIDE = 1.9  # inches from a picture to the next


class DriftView:
    """One image, its truth, each method's distances by region, and each method's total distance over the iterations.

    Args:
        methods: titles by name, in the order of the panels.
        names: class names, indexed by label.
        old: labels of the old classes.
        credit: attribution of the images, shown in small print.
    """

    def __init__(self, methods: Mapping[str, str], names: Sequence[str], old: Sequence[int], credit: str = ""):
        self.names, self.old, self.methods = names, old, methods
        end = STRIDE * (2 + len(methods))  # of the pictures, in inches
        places = [(0.1 + STRIDE * column, 0.63, 1.82, 1.85) for column in range(2 + len(methods))]
        titles = ["image", "truth", *methods.values()]
        self._panels = Panels((end + 3.7, 3.25), places, titles, (0.1, 2.5, end + 0.9, 0.74), credit)
        self._norm = Normalize(0, 1)
        bar = self._panels.add_axes((end + 0.12, 0.7, 0.12, 1.71))
        self._panels.figure.colorbar(ScalarMappable(self._norm, HEAT), cax=bar, ticks=LinearLocator(3), format="%.3g")
        bar.tick_params(labelsize=7)
        bar.set_ylabel("distance of the region", fontsize=8)
        self._curves = self._panels.add_axes((end + 1.35, 0.77, 2.2, 1.6))
        self._label_curves(self._curves)
        styles = method_styles(list(methods)).values()
        self._lines = [
            self._curves.plot([], [], color=style["color"], marker=style["marker"], markersize=4)[0] for style in styles
        ]
        for title, style in zip(self._panels.titles[2:], styles, strict=True):
            title.set_color(style["color"])  # so that the curves need no legend
        self._now = self._curves.axvline(0, color="0.3", linestyle="--", linewidth=1)

    @staticmethod
    def _label_curves(axis: Axes) -> None:
        axis.set_title("distance of the whole image", fontsize=9, y=1.01)
        axis.set_xlabel("iterations of the step", fontsize=8)
        axis.tick_params(labelsize=7)
        pinned(axis, 0.14, 0.2)
        axis.yaxis.set_major_locator(MaxNLocator(3))
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axis.grid(alpha=0.3)

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
        """Show one image at one moment of the training.

        Args:
            picture: the image.
            mask: its true labels.
            heats: each method's distances by region at this moment.
            shape: height and width of the feature map.
            top: the distance that has the last colour.
            distances: each method's total distance at every moment.
            done: the number of iterations before every moment.
            moment: which of them.
            title: title of the figure.
        """
        pictures = [np.asarray(picture).transpose(1, 2, 0), overlay(np.asarray(picture), np.asarray(mask))]
        for place, (method, name) in enumerate(self.methods.items()):
            pictures.append(heated(picture, mask, heats[method], shape, top, self.old))
            self._panels.titles[place + 2].set_text(f"{name}: {float(distances[method][moment]):.4g}")
            self._lines[place].set_data(done, distances[method])
        self._norm.vmax = max(top, 1e-12)
        self._now.set_xdata([done[moment]] * 2)
        highest = max(float(np.max(np.asarray(values))) for values in distances.values())
        self._curves.set(xlim=(-0.02 * done[-1], 1.02 * done[-1]), ylim=(-0.03 * highest, 1.06 * highest or 1))
        legend: list[Patch | Line2D] = [*class_patches(np.asarray(mask), self.names), *outline_handles()]
        said = each({name: f"{float(distances[method][moment]):.4g}" for method, name in self.methods.items()})
        shown = contents(np.asarray(mask), self.names)
        return self._panels.show(title, pictures, legend, f"{title}: {shown}. Distance from the teacher: {said}.")
