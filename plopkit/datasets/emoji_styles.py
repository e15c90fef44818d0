"""The domains of the emoji scenes: one scene by day and by night, drawn on paper, and in the rain.

A style changes colours and textures and leaves every object where it is, so that the mask stays exact. The styles are
mild on purpose. Where they are strong (black nights, lines without colour), it is the running statistics of a net's
norms that forget, and not its weights: fine-tuning and PLOP then lose as much.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

Style = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From a scene (size, size, 3) uint8 and random numbers to the styled scene, float (size, size, 3)."""


def day(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The scene as it is in all other protocols."""
    return image


def night(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Dim and blue, with the noise of a camera at night."""
    return image * np.array([0.51, 0.6, 0.81]) + np.array([0.0, 4.0, 16.0]) + rng.normal(0, 8, image.shape)


def paper(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pale colours and pencil lines where the brightness changes, on grainy paper."""
    down, right = np.gradient(_blurred(image, 0.7).mean(2))
    lines = np.clip(2.5 * np.hypot(down, right), 0, 100)[..., None]
    grain = rng.normal(0, 6, (*image.shape[:2], 1))
    return 20 + _pale(image, 0.5) + grain - lines


def rain(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Slightly blurred, behind grey-green haze and bright slanted streaks."""
    size = len(image)
    hazy = 0.75 * _pale(_blurred(image, size / 137), 0.3) + 0.25 * np.array([128.0, 150.0, 140.0])
    n_streaks, length = size // 2, max(4, size // 6)
    along = np.arange(length)
    rows = (rng.integers(0, size, n_streaks)[:, None] + along) % size
    columns = (rng.integers(0, size, n_streaks)[:, None] + along // 3) % size
    hazy[rows, columns] += 60
    return hazy


def _blurred(image: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)), np.float64)


def _pale(image: np.ndarray, share: float) -> np.ndarray:
    """The image with a share of its colour taken away."""
    return (1 - share) * image + share * image.mean(2, keepdims=True)


STYLES: dict[str, Style] = {"day": day, "night": night, "paper": paper, "rain": rain}
"""By the name of the domain."""


def styled(image: np.ndarray, domain: str, rng: np.random.Generator) -> np.ndarray:
    """A scene in the style of a domain, (size, size, 3) uint8 -> (size, size, 3) uint8."""
    return np.clip(STYLES[domain](image, rng), 0, 255).round().astype(np.uint8)
