"""A trained net for pictures: `plopkit.load(path).predict(image)`."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from PIL import Image
from torch import Tensor

from plopkit.datasets.pictures import MOST_PIXELS, load
from plopkit.datasets.transforms import short_side_resized
from plopkit.datasets.upright import read_upright, upright
from plopkit.model.segmenter import Segmenter
from plopkit.model.transformers import SizeError
from plopkit.scenario import id_type, ignored_id
from plopkit.settings import digest
from plopkit.support.chunks import by_chunks
from plopkit.support.memory import available_memory
from plopkit.support.prediction import predicted_channel
from plopkit.tiling import blended, side_that_fits, stretched

Picture = str | Path | Image.Image | np.ndarray
"""A file, a picture of Pillow's, or colours (H, W, 3) uint8."""
Tile = str | int
""""auto", "none", or pixels"""
UNKNOWN_MEMORY = 2**31
"""Bytes of memory that are assumed where the system does not say."""
PROBE = 128
"""Side in pixels of the image with which a net's need of memory is measured."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """A net with all that its predictions need: labels, names, the method's decoding, and how pictures come to it.

    `plopkit.load` makes it; `dataclasses.replace(predictor, tile=512)` changes a part.

    Example:
        >>> predictor = plopkit.load("runs/voc_15-5_overlap_plop_seed0_1a2b3c4d")
        >>> labels = predictor.predict("photo.jpg")
        >>> [predictor.classes[label] for label in np.unique(labels)]
        ['background', 'cat', 'sofa']
    """

    net: Segmenter
    """in evaluation mode"""
    classes: tuple[str, ...]
    """a name per label; those of labels that the net has not learnt yet, too"""
    labels: tuple[int, ...]
    """the label of each channel"""
    decode: Callable[[Tensor], Tensor] = predicted_channel
    """logits (B, C, H, W) -> channels (B, H, W), as `Method.predict`"""
    size: int | None = None
    """the short side in pixels to which pictures are resized for the net; None: as they are. Results have the
    pictures' own size"""
    tile: Tile = "auto"
    """side in pixels of the tiles that a picture is cut into; "none" for whole pictures, "auto" for tiles only where
    memory does not suffice"""
    confidence: float = 0.0
    """pixels of which the predicted label has a smaller probability are ignored"""
    origin: str = ""
    """the digest of the checkpoint"""

    @property
    def ignored(self) -> int:
        """The label of ignored pixels: 255, or 65535 beyond 255 labels."""
        return ignored_id(len(self.classes))

    @property
    def names_known(self) -> bool:
        """Whether the classes have names, not only numbers."""
        return self.classes != tuple(map(str, range(len(self.classes))))

    @property
    def device(self) -> torch.device:
        """Where the net computes."""
        return next(self.net.parameters()).device

    def identity(self) -> str:
        """A digest of all that decides predictions, except the picture."""
        decoding = f"{getattr(self.decode, '__module__', '')}.{getattr(self.decode, '__qualname__', '')}"
        return digest([self.origin, self.labels, decoding, self.size, self.tile, self.confidence, len(self.classes)])

    @torch.no_grad()
    def predict(self, image: Picture) -> UInt8[np.ndarray, "H W"] | UInt16[np.ndarray, "H W"]:
        """The label of each pixel, at the picture's own size, turned as its EXIF flag says.

        Returns:
            uint8, or uint16 beyond 255 labels. With `confidence`, pixels under it are `ignored`.

        Raises:
            ValueError: where the picture cannot be read, or is no picture.
            OSError: where its file cannot be opened.
        """
        colours = as_colours(image)
        label_of = torch.tensor([*self.labels, self.ignored])
        labels = np.empty(colours.shape[:2], id_type(len(self.classes)))
        top = 0
        for logits in self._logits(colours):
            channels = self.decode(logits)
            if self.confidence:
                unsure = by_chunks(_log_probability, logits, channels) < np.log(self.confidence)
                channels = channels.masked_fill(unsure, len(self.labels))
            rows = label_of[channels[0].cpu()].numpy()
            labels[top : top + len(rows)] = rows
            top += len(rows)
        return labels

    @torch.no_grad()
    def probabilities(self, image: Picture) -> Float[np.ndarray, "labels H W"]:
        """The probability of each label, the softmax of its logit; 0 for labels not learnt yet. Errors as `predict`."""
        colours = as_colours(image)
        result = np.zeros((len(self.classes), *colours.shape[:2]), np.float32)
        top = 0
        for logits in self._logits(colours):
            rows = logits.softmax(1)[0].cpu().numpy()
            result[list(self.labels), top : top + rows.shape[1]] = rows
            top += rows.shape[1]
        return result

    def tile_of(self, height: int, width: int) -> int | None:
        """The side of the tiles for a picture of this size; None where it goes through the net whole."""
        if self.tile != "auto":
            return self.tile if isinstance(self.tile, int) else None
        kept = 4.0 * len(self.labels)
        free = self._free_memory()
        return side_that_fits(height, width, self._bytes_per_pixel, kept, free // 2)

    def seen_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in which the net sees a picture.

        Raises:
            ValueError: where resizing makes it too large.
        """
        short, long = sorted((height, width))
        if self.size is None or self.size == short:
            return height, width
        other = int(self.size * long / short)
        if self.size * other > MOST_PIXELS:
            raise ValueError(
                f"{width} x {height} pixels with a short side of {self.size} would be {self.size} x {other}, and at "
                f"most {MOST_PIXELS:,} pixels are possible"
            )
        return (self.size, other) if height < width else (other, self.size)

    def _logits(self, colours: np.ndarray) -> Iterator[Tensor]:
        """The logits at the picture's size (1, C, rows, W), from the top, some rows at a time."""
        height, width = colours.shape[:2]
        seen = self.seen_size(height, width)
        image = torch.from_numpy(colours).permute(2, 0, 1)
        if seen != (height, width) and self.size is not None:
            image = short_side_resized(image, self.size)
        side = self.tile_of(*image.shape[1:])
        whole = side is None or side >= max(image.shape[1:])
        bands = iter([self._logits_of(image)]) if whole else blended(self._logits_of, image, side or 0)
        if seen == (height, width):
            yield from bands
        else:
            yield from stretched(torch.cat(list(bands), 2), height, width)

    def _logits_of(self, image: Tensor) -> Tensor:
        with fixed_size_explained():
            return self.net(image[None].to(self.device)).logits

    @cached_property
    def _bytes_per_pixel(self) -> float:
        try:
            return bytes_per_pixel(self.net)
        except SizeError as error:
            return bytes_per_pixel(self.net, error.made_for)

    def _free_memory(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.mem_get_info(self.device)[0]
        return available_memory() or UNKNOWN_MEMORY


@contextmanager
def fixed_size_explained() -> Iterator[None]:
    """ValueError with the remedy where an encoder takes images of one size only."""
    try:
        yield
    except SizeError as error:
        raise ValueError(
            f"{error}; cut or resize pictures to that size before, and give tile none (--tile none)"
        ) from error


def as_colours(image: Picture) -> UInt8[np.ndarray, "H W 3"]:
    """8-bit colours of a file, of a picture of Pillow's, or of an array, which is returned as it is."""
    if isinstance(image, str | Path):
        return read_upright(image)
    if isinstance(image, Image.Image):
        return upright(load(image, "the picture"))
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        if not image.size:
            raise ValueError(f"an array of shape {image.shape} has no pixels")
        return np.array(image)  # a copy in rows: torch takes no other order, and writes to it
    given = f"an array of shape {image.shape} and type {image.dtype}" if isinstance(image, np.ndarray) else type(image)
    raise ValueError(f"a picture is a path, a picture of Pillow's, or an array (H, W, 3) of uint8, not {given}")


@torch.no_grad()
def bytes_per_pixel(net: Segmenter, size: tuple[int, ...] = (PROBE, PROBE)) -> float:
    """The memory that a net takes for each pixel of a picture, measured with a small one of this height and width.

    The largest input and output of a module, what the net keeps until its end, and two copies of the logits: more than
    it takes at once.
    """
    largest = 0

    def look(module: Any, inputs: Any, output: Any) -> None:
        nonlocal largest
        tensors = [x for x in (*inputs, output) if isinstance(x, Tensor)]
        largest = max(largest, sum(x.nbytes for x in tensors))

    leaves = [module for module in net.modules() if not any(module.children())]
    handles = [leaf.register_forward_hook(look) for leaf in leaves]
    try:
        image = torch.zeros(1, 3, *size, device=next(net.parameters()).device)
        output = net(image)
    finally:
        for handle in handles:
            handle.remove()
    kept = sum(stage.nbytes for stage in output.stages) + image.nbytes
    return (largest + kept + 2 * output.logits.nbytes) / math.prod(size)


def _log_probability(logits: Tensor, channels: Tensor) -> Tensor:
    """The logarithm of the softmax at these channels: (B, C, H, W), (B, H, W) -> (B, H, W)."""
    return logits.gather(1, channels[:, None].long())[:, 0] - logits.logsumexp(1)
