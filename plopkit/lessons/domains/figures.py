"""Scenes in every domain, and one picture through the steps."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from plopkit.lessons.domains.measures import Forgotten, Scenes
from plopkit.viz.figures import bare, titled
from plopkit.viz.masks import grid, overlay
from plopkit.viz.style import styled
from plopkit.viz.words import contents, each, enumerated


@styled
def scenes_by_domain(scenes: Scenes, title: str, credit: str) -> Figure:
    """A row per scene, a column per domain.

    Args:
        scenes: `same_scenes`.
        title: the figure's title.
        credit: attribution of the graphics, shown in small print.
    """
    domains = list(scenes[0])
    figure = titled(title, 1.6 * len(domains), 1.6 * len(scenes) + 0.8)
    axes = figure.subplots(len(scenes), len(domains), squeeze=False)
    for row, scene in zip(axes, scenes, strict=True):
        for axis, domain in zip(row, domains, strict=True):
            axis.imshow(scene[domain], interpolation="nearest")
            bare(axis)
    for axis, domain in zip(axes[0], domains, strict=True):
        axis.set_title(domain, fontsize=9)
    figure.supxlabel(credit, fontsize=6)
    how = enumerated(domains)
    figure.alt = f"{title}: {len(scenes)} scenes with the same objects in the same places, each in the style of {how}."
    return figure


def through_the_steps(picture: Forgotten, names: Sequence[str], title: str, credit: str) -> Figure:
    """A picture, its mask and what the nets predict after each step; a row per method.

    Args:
        picture: `most_forgotten`.
        names: class names, indexed by label.
        title: the figure's title.
        credit: attribution of the graphics, shown in small print.
    """
    planes = picture.image.transpose(2, 0, 1)
    rows, present = [], set(np.unique(picture.mask).tolist())
    for predictions in picture.predictions.values():
        rows.append(
            [picture.image, overlay(planes, picture.mask), *(overlay(planes, labels) for labels in predictions)]
        )
        present |= {int(label) for labels in predictions for label in np.unique(labels)}
    columns = ["image", "truth", *(f"after step {step}" for step in picture.steps)]
    last = each({method: contents(labels[-1], names) for method, labels in picture.predictions.items()})
    alt = f"The picture shows {contents(picture.mask, names)}; predicted after the last step: {last}"
    return grid(rows, list(picture.predictions), columns, present, names, title, credit, alt)
