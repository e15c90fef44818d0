"""An image of a run's memory: what is noted of it in the state that a step leaves, and how it is found again.

The image itself stays in the data set, where a run finds it by its name, and refuses it if its content is another.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from pydantic import NonNegativeInt, TypeAdapter
from torch import Tensor

from plopkit.datasets.source import Source
from plopkit.support.printable import one_line

KEY = "memory/images"
"""Name of the memory in the state that a step leaves."""


class Kept(NamedTuple):
    """An image of an earlier step."""

    name: str
    digest: str
    """of the image and its mask"""
    size: NonNegativeInt
    """bytes of both, as `Source.stored_bytes`"""
    known: tuple[int, ...]
    """the labels that its annotation tells apart: those of the steps in which it was trained on"""
    shows: tuple[int, ...]
    """the classes by which it was chosen"""


_IMAGES = TypeAdapter(tuple[Kept, ...])


def to_state(images: Sequence[Kept]) -> dict[str, Tensor]:
    """The memory as a part of a step's state; empty where nothing is kept."""
    if not images:
        return {}
    text = json.dumps([image._asdict() for image in images])
    return {KEY: torch.tensor(list(text.encode()), dtype=torch.uint8)}


def from_state(state: dict[str, Tensor]) -> tuple[Kept, ...]:
    """The memory in a step's state; empty where there is none.

    Raises:
        ValueError: It is no list of images.
    """
    if KEY not in state:
        return ()
    try:
        images = _IMAGES.validate_json(bytes(state[KEY].tolist()), strict=True)
        if len({image.name for image in images}) < len(images):
            raise ValueError("an image occurs twice")
        return images
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the memory in the state of the step before is damaged: {KEY!r} is no list of images, each "
            f"with {', '.join(Kept._fields)} ({type(error).__name__}: {one_line(error, 80)}); train that step again, "
            "or copy its step-*.state.safetensors from where it was trained"
        ) from error


def checked(image: Kept, train: Source, where: dict[str, int]) -> int:
    """The position of a memory image among the training images; ValueError where it is not there, or is another."""
    name = one_line(image.name, 60)
    if image.name not in where:
        raise ValueError(
            f"the memory keeps the image {name}, which is not among the {len(train)} training images; add it to them, "
            "or train without a memory"
        )
    if digest_of(train, position := where[image.name]) != image.digest:
        raise ValueError(
            f"the memory keeps the image {name}, and image or mask of this name are others now; put them back, or "
            "train without a memory"
        )
    return position


def digest_of(train: Source, index: int) -> str:
    """The digest of an image and its mask: that of the files, or of the pixels where they are drawn."""
    if train.digests:
        return train.digests[index]
    pair = train.read(index)
    content = b"".join(np.ascontiguousarray(part.numpy()).tobytes() for part in pair)
    return hashlib.blake2b(content, digest_size=16, key=repr(tuple(pair.image.shape)).encode()).hexdigest()


def positions_of(train: Source) -> dict[str, int]:
    """The position of each training image by its name."""
    return {name: index for index, name in enumerate(train.stems)}


def described(image: Kept, train: Source, position: int) -> Kept:
    """An image with its size and digest."""
    return image._replace(
        size=image.size or train.stored_bytes(position), digest=image.digest or digest_of(train, position)
    )
