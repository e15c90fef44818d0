"""Random numbers, outputs of nets and examples of runs, drawn from a seed."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from plopkit.model.segmenter import Output


def draw(seed: int, *shape: int) -> Tensor:
    """A tensor of standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def draw_output(seed: int, channels: int, images: int = 2) -> "Output":
    """The output for images of 32 x 32: three stages of sides 8, 6 and 6, head and logits of side 4."""
    from plopkit.model.segmenter import Output

    sides = {3: 8, 4: 6, 5: 6, 6: 4}
    *stages, head = (draw(seed + width, images, width, side, side) for width, side in sides.items())
    logits, small = draw(seed, images, channels, 32, 32), draw(seed + 9, images, channels, 4, 4)
    return Output(logits, small, tuple(stages), stages[-1], head)


def draw_examples(n: int = 2, steps: int = 2, side: int = 12) -> dict[str, np.ndarray]:
    """Examples of a run on VOC, as `RunFolder.examples` returns them."""
    from plopkit.support.resources import class_names

    rng = np.random.default_rng(0)
    masks = rng.choice([0, 1, 4, 255], (n, side, side)).astype(np.uint8)
    return {
        "images": rng.integers(0, 256, (n, 3, side, side), np.uint8),
        "masks": masks,
        "predictions": rng.choice([0, 1, 9], (steps, n, side, side)).astype(np.uint8),
        "stems": np.array([f"image-{i}" for i in range(n)]),
        "names": np.array(class_names("voc")),
    }
