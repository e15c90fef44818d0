"""Pictures of a folder with their masks, and what nets predict for a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from plopkit.viz.masks import grid, overlay
from plopkit.viz.words import contents, each


def pairs(root: Path, stems: Sequence[str], names: Sequence[str], title: str) -> Figure:
    """Some pictures of a data set in the upper row, and their masks in the lower one.

    Args:
        root: the data set's folder.
        stems: names of pictures, without the ending.
        names: class names, indexed by label.
        title: the figure's title.
    """
    images = [np.asarray(Image.open(root / "images" / f"{stem}.png")) for stem in stems]
    masks = [np.asarray(Image.open(root / "masks" / f"{stem}.png")) for stem in stems]
    painted = [overlay(image.transpose(2, 0, 1), mask) for image, mask in zip(images, masks, strict=True)]
    present = {int(label) for mask in masks for label in np.unique(mask)}
    shown = {stem: contents(mask, names) for stem, mask in zip(stems, masks, strict=True)}
    alt = f"Pictures and their masks: {each(shown)}"
    return grid([images, painted], ["images/", "masks/"], list(stems), present, names, title, "", alt)


def predictions(
    image: UInt8[np.ndarray, "H W 3"], masks: Mapping[str, np.ndarray], names: Sequence[str], title: str
) -> Figure:
    """A picture, and masks of it side by side.

    Args:
        image: the picture.
        masks: labels by what stands above them, such as "truth".
        names: class names, indexed by label.
        title: the figure's title.
    """
    row = [image, *(overlay(image.transpose(2, 0, 1), mask) for mask in masks.values())]
    present = {int(label) for mask in masks.values() for label in np.unique(mask)}
    alt = each({name: contents(mask, names) for name, mask in masks.items()})
    return grid([row], [""], ["image", *masks], present, names, title, "", alt)
