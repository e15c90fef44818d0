"""The domains of the emoji scenes: one scene by day and by night, as a drawing on paper, and in the rain.

A style changes colours and textures and leaves every object where it is, so that the mask stays exact.
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
    """Dark and blue, lit by one lamp, with the noise of a camera at night."""
    size = len(image)
    y, x = np.mgrid[:size, :size] / size
    lamp = np.exp(-((y - rng.uniform(0, 1)) ** 2 + (x - rng.uniform(0, 1)) ** 2) / 0.18)
    light = (0.12 + 0.3 * lamp)[..., None] * np.array([0.7, 0.8, 1.2])
    return image * light + np.array([2.0, 4.0, 16.0]) + rng.normal(0, 7, image.shape)


def paper(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pencil lines where the brightness changes, on grainy paper; no colour."""
    grey = np.asarray(Image.fromarray(image).convert("L").filter(ImageFilter.GaussianBlur(0.7)), np.float64)
    down, right = np.gradient(grey)
    lines = np.clip(5 * np.hypot(down, right), 0, 190)[..., None]
    grain = rng.normal(0, 6, (*grey.shape, 1))
    return np.array([246.0, 240.0, 224.0]) + grain - lines


def rain(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blurred and pale behind grey-green haze and bright slanted streaks."""
    size = len(image)
    blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(size / 80)), np.float64)
    grey = blurred.mean(2, keepdims=True)
    hazy = 0.45 * (0.4 * blurred + 0.6 * grey) + 0.55 * np.array([128.0, 150.0, 140.0])
    n_streaks, length = size // 2, max(4, size // 6)
    along = np.arange(length)
    rows = (rng.integers(0, size, n_streaks)[:, None] + along) % size
    columns = (rng.integers(0, size, n_streaks)[:, None] + along // 3) % size
    hazy[rows, columns] += 70
    return hazy


STYLES: dict[str, Style] = {"day": day, "night": night, "paper": paper, "rain": rain}
"""By the name of the domain."""


def styled(image: np.ndarray, domain: str, rng: np.random.Generator) -> np.ndarray:
    """A scene in the style of a domain, (size, size, 3) uint8 -> (size, size, 3) uint8."""
    return np.clip(STYLES[domain](image, rng), 0, 255).round().astype(np.uint8)
