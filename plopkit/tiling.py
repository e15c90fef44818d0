"""Pictures too large for a net: predicted tile by tile, and blended where tiles overlap.

Along each axis, tiles begin every ``tile - overlap`` pixels. In the overlap the logits of neighbours are mixed: the
share of one falls linearly to its edge, as the share of the other rises. Shares add up to 1 at every pixel, and where
there is one tile alone, its logits are the result.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

MULTIPLE = 32
"""Tiles begin at its multiples: the largest stride of an encoder, whose maps are then those of the whole picture."""
SIDES = (2048, 1024, 512, 256)
"""Sides of tiles, in pixels, among which `side_that_fits` chooses."""
ROWS = 256
"""Rows that `stretched` gives at a time."""

UPSAMPLING = 0.5
"""Bytes for each pixel of a side and each of the same side: the upsampling has a weight of 4 bytes for each of them and
each of the last feature map's, an eighth at most. They count for a picture that is long and low."""

Span = tuple[int, int]
"""Where a tile begins and ends along one axis."""


def spans(length: int, tile: int) -> list[Span]:
    """Tiles along an axis of ``length`` pixels. A quarter of each overlaps with the next, and more with the last.

    Args:
        length: pixels of the picture.
        tile: pixels of a tile, a multiple of `MULTIPLE`; the last may have fewer.

    Raises:
        ValueError: for another side of tiles.
    """
    if tile < 2 * MULTIPLE or tile % MULTIPLE:
        raise ValueError(f"the side of a tile is a multiple of {MULTIPLE}, {2 * MULTIPLE} or more, not {tile}")
    overlap = max(MULTIPLE, tile // 4 // MULTIPLE * MULTIPLE)
    first = 0
    found = []
    while first + tile < length:
        found.append((first, first + tile))
        first += tile - overlap
    # The last one ends with the picture, and is as large as the others, or nearly.
    last = -(-(length - tile) // MULTIPLE) * MULTIPLE if found else 0
    return [*found, (last, length)]


def shares(tiles: list[Span]) -> list[Float[Tensor, " n"]]:
    """The share of each tile in its own pixels along an axis; they add up to 1 at every pixel."""
    ramps = [torch.ones(stop - start) for start, stop in tiles]
    for (left, right), ((start, stop), (following, _)) in zip(pairwise(ramps), pairwise(tiles), strict=True):
        n = stop - following
        rising = torch.arange(1, n + 1) / (n + 1)
        right[:n] *= rising
        left[following - start :] *= rising.flip(0)
    total = torch.zeros(tiles[-1][1])
    for (start, stop), ramp in zip(tiles, ramps, strict=True):
        total[start:stop] += ramp
    return [ramp / total[start:stop] for (start, stop), ramp in zip(tiles, ramps, strict=True)]


def blended(
    logits_of: Callable[[Tensor], Float[Tensor, "1 C h w"]], image: UInt8[Tensor, "3 H W"], tile: int
) -> Iterator[Float[Tensor, "1 C rows W"]]:
    """The logits of an image from those of its tiles, from the top, some rows at a time.

    Only the rows of one row of tiles are kept, so that the logits of a picture need not fit into memory.

    Args:
        logits_of: gives the logits of a part of the image, at its size.
        image: the image.
        tile: side of the tiles, as in `spans`.
    """
    rows, columns = spans(image.shape[1], tile), spans(image.shape[2], tile)
    row_shares, column_shares = shares(rows), shares(columns)
    unfinished: Tensor | None = None
    for index, (top, bottom) in enumerate(rows):
        band: Any = None
        for (left, right), share in zip(columns, column_shares, strict=True):
            logits = logits_of(image[:, top:bottom, left:right])
            if band is None:
                band = logits.new_zeros(1, logits.shape[1], bottom - top, image.shape[2])
            weights = row_shares[index][:, None] * share
            band[..., left:right] += logits * weights.to(logits)
        if unfinished is not None:
            band[..., : unfinished.shape[2], :] += unfinished
        done = rows[index + 1][0] - top if index + 1 < len(rows) else bottom - top
        yield band[..., :done, :]
        unfinished = band[..., done:, :].clone()


def stretched(
    logits: Float[Tensor, "1 C h w"], height: int, width: int, rows: int = ROWS
) -> Iterator[Float[Tensor, "1 C rows width"]]:
    """``F.interpolate(logits, (height, width), mode="bilinear")``, from the top, some rows at a time."""
    wide = F.interpolate(logits, (logits.shape[2], width), mode="bilinear", align_corners=False)
    last = logits.shape[2] - 1
    for top in range(0, height, rows):
        at = torch.arange(top, min(top + rows, height), device=logits.device, dtype=torch.float32)
        source = ((at + 0.5) * (logits.shape[2] / height) - 0.5).clamp(min=0)
        above = source.floor().long().clamp(max=last)
        share = (source - above)[:, None].to(logits.dtype)
        yield torch.lerp(wide[:, :, above], wide[:, :, (above + 1).clamp(max=last)], share)


def side_that_fits(height: int, width: int, per_pixel: float, kept_per_pixel: float, memory: int) -> int | None:
    """The largest side of tiles for which there is enough memory; None where the whole picture fits.

    Where not even the smallest fits, it is returned all the same.

    Args:
        height, width: pixels of the picture.
        per_pixel: bytes that the net takes for a pixel of its input.
        kept_per_pixel: bytes of a pixel's logits.
        memory: bytes.
    """
    if height * width * per_pixel + (height**2 + width**2) * UPSAMPLING <= memory:
        return None
    for side in SIDES:
        if side**2 * per_pixel + 2 * side * width * kept_per_pixel <= memory:
            return side
    return SIDES[-1]
