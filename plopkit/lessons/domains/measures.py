"""The same scene in every domain, what each domain scores step by step, and a picture that a net has lost."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from plopkit.datasets.emoji import draw_scene
from plopkit.datasets.emoji_styles import styled
from plopkit.datasets.source import Source
from plopkit.runs.folder import RunFolder
from plopkit.runs.loading import load

Scenes = list[dict[str, UInt8[np.ndarray, "H W 3"]]]
"""Each scene as it looks in every domain."""


def same_scenes(domains: Sequence[str], n_scenes: int = 3, size: int = 96, seed: int = 0) -> Scenes:
    """Emoji scenes, each in every domain: the objects stay where they are, so that the mask is the same.

    Args:
        domains: names in `plopkit.datasets.emoji_styles.STYLES`.
        n_scenes: how many.
        size: height and width in pixels.
        seed: another seed gives other scenes.
    """
    scenes = []
    for index in range(n_scenes):
        image, _ = draw_scene(np.random.default_rng([seed, index]), "val", 1 + 3 * index, size)
        scenes.append({domain: styled(image, domain, np.random.default_rng([seed, index])) for domain in domains})
    return scenes


def by_domain(means: pd.DataFrame, method: str) -> pd.DataFrame:
    """A method's mIoU of each domain (a column) after each step (a row); NaN before a domain is learnt.

    Args:
        means: rows of `plopkit.runs.domains.domain_means`, of one seed.
        method: its name in the rows.
    """
    rows = means[means["method"] == method]
    return rows.pivot(index="step", columns="domain", values="miou")[list(dict.fromkeys(rows["domain"]))]


def brightness(scenes: Scenes) -> dict[str, float]:
    """The mean brightness of each domain, from 0, black, to 1, white.

    Args:
        scenes: result of `same_scenes`.
    """
    return {domain: float(np.mean([scene[domain] for scene in scenes]) / 255) for domain in scenes[0]}


PRICES = ("nothing", "the newest domain is learnt less well", "another old domain is lost instead")
"""What a method may cost that keeps its features near the teacher's."""


def price(means: pd.DataFrame, margin: float = 1.0) -> str:
    """Which of `PRICES` PLOP pays, compared with fine-tuning.

    Args:
        means: rows of `plopkit.runs.domains.domain_means` of both methods, of one seed.
        margin: smaller differences, in points, are none.
    """
    ft, plop = (by_domain(means, method) for method in ("ft", "plop"))
    newest = ft.columns[-1]
    if plop[newest].iloc[-1] < ft[newest].iloc[-1] - margin:
        return PRICES[1]
    lower = (plop.iloc[-1] < ft.iloc[-1] - margin).drop(newest)
    return PRICES[2] if lower.any() else PRICES[0]


class Forgotten(NamedTuple):
    """One validation picture and what the nets of some runs predict for it, after every step."""

    image: UInt8[np.ndarray, "H W 3"]
    mask: UInt8[np.ndarray, "H W"]
    predictions: dict[str, list[UInt8[np.ndarray, "H W"]]]
    """By method: the labels after each step."""
    steps: tuple[int, ...]


def most_forgotten(
    runs: Mapping[str, RunFolder], source: Source, domain: str, steps: Sequence[int], n_pictures: int = 24
) -> Forgotten:
    """The picture of a domain of which the first run has lost most pixels that the last run still has right.

    Only pixels of objects count, and only those that both had right after the first of the steps.

    Args:
        runs: by method, finished runs of one scenario.
        source: validation images that know their domains.
        domain: which of them are looked at.
        steps: the steps whose nets predict, in order.
        n_pictures: how many pictures are looked at.

    Raises:
        ValueError: no image comes from this domain.
    """
    indices = [index for index, name in enumerate(source.domains) if name == domain][:n_pictures]
    if not indices:
        raise ValueError(f"no image comes from {domain!r}; there are {', '.join(sorted(set(source.domains)))}")
    nets = {method: [load(folder.path, step) for step in steps] for method, folder in runs.items()}
    pictures = []
    for index in indices:
        pair = source.read(index)
        image, mask = pair.image.permute(1, 2, 0).numpy(), pair.mask.numpy()
        predictions = {method: [net.predict(image) for net in of_method] for method, of_method in nets.items()}
        pictures.append(Forgotten(image, mask, predictions, tuple(steps)))
    return max(pictures, key=n_lost)


def n_lost(picture: Forgotten) -> int:
    """How many pixels of objects the first method has lost and the last one has kept."""
    (*_, kept), lost = picture.predictions.values(), next(iter(picture.predictions.values()))
    objects = (picture.mask > 0) & (picture.mask < 255)
    known = objects & (lost[0] == picture.mask) & (kept[0] == picture.mask)
    return int((known & (lost[-1] != picture.mask) & (kept[-1] == picture.mask)).sum())
