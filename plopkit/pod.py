"""Local POD (PLOP, Douillard et al., CVPR 2021, section 3.2): the content of a map, region by region.

For a map x of width W and a scale s, the map is divided into s x s square regions of side ⌊W / s⌋. Each region r is
averaged over its columns and over its rows; the embedding joins the results of all scales (eq. 3 and 4):

    Φ(x) = ‖_s ‖_r [ mean over columns of x_r ‖ mean over rows of x_r ].

PLOP compares the squared maps of net and teacher: ‖Φ(x²) − Φ(x_old²)‖₂, averaged over the batch and over the maps
(eq. 5, whose norm the paper squares and the released code does not).

The definition is that of the released code. A region's side follows from the *width* on both axes; what is left over at
the right and at the bottom is ignored. On a map wider than high, the map's end may cut the last regions short, as
slicing does; where a region would be wholly outside, a ValueError says so (the released code returns NaN). A scale
larger than the map's width would have empty regions and contributes nothing.
"""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plopkit.strips import Grid, distances
from plopkit.support.precision import at_least_float32

SCALES = (1, 2, 4)


def local_pod(x: Float[Tensor, "B C H W"], scales: Sequence[int] = SCALES) -> Float[Tensor, "B D"]:
    """The embedding Φ of a map (PLOP squares the map first), at least in float32.

    Args:
        x: the map.
        scales: numbers of regions per side.

    Returns:
        By scale and by region, row by row: the means over columns (C, side), then those over rows (C, side). For a
        square map whose side is divisible by the scales, D = 2 C W Σ s.

    Raises:
        ValueError: for a scale that is not positive, and where all scales exceed the map's width.

    Example:
        >>> local_pod(torch.zeros(1, 8, 16, 16), (1, 2, 4)).shape
        torch.Size([1, 1792])
    """
    x = at_least_float32(x)
    return torch.cat([band.flatten(1) for scale in _used(scales, x.shape[3]) for band in _bands(x, scale)], dim=1)


def fitting_scales(scales: Sequence[int], width: int) -> list[int]:
    """The scales whose regions have a side on a map of this width; the others add nothing to its embedding."""
    return [scale for scale in scales if scale <= width]


def pod_distance(
    new: Float[Tensor, "B C H W"], old: Float[Tensor, "B C H W"], scales: Sequence[int] = SCALES
) -> Float[Tensor, ""]:
    """‖Φ(new²) − Φ(old²)‖₂, averaged over the batch.

    The norm is not squared, as in the released code; the paper squares it. Half precision is computed in float32,
    since squared features overflow it. Equal maps give 0 with a zero gradient. The gradient is written by hand, without
    keeping more than `new`, and cannot be differentiated again; what needs that takes `local_pod`.

    Args:
        new, old: maps of the net and of the teacher.
        scales: as in `local_pod`.

    Raises:
        ValueError: for maps of different shapes, and for the scales that `local_pod` refuses.
    """
    _check_same_shape(new, old)
    height, width = new.shape[2:]
    grids = [_grid(height, width, scale) for scale in _used(scales, width)]
    with torch.autocast(new.device.type, enabled=False):
        return distances(new, old, grids).mean()


def pod_regions(
    new: Float[Tensor, "B C H W"], old: Float[Tensor, "B C H W"], scale: int
) -> Float[Tensor, "B {scale} {scale}"]:
    """What each region of one scale contributes to `pod_distance`, for pictures.

    The root of the sum of squares over the regions of all scales is the distance of an image.

    Raises:
        ValueError: where the scale does not fit the map.
    """
    with torch.autocast(new.device.type, enabled=False):
        bands = _bands(_squared_difference(new, old), scale)
        return torch.cat([torch.linalg.vector_norm(band, dim=3) for band in bands], dim=1)


class Region(NamedTuple):
    """The place of a region on its map."""

    rows: slice
    columns: slice


def regions_of(height: int, width: int, scale: int) -> list[Region]:
    """The scale x scale regions of a map, row by row: the order of `local_pod` and `pod_regions`.

    Raises:
        ValueError: where the scale does not fit the map.
    """
    grid = _grid(height, width, scale)
    return [Region(slice(*rows), slice(*columns)) for rows, columns in product(*map(pairwise, grid))]


def fold_new_into_background(logits: Float[Tensor, "B C h w"], n_old: int) -> Float[Tensor, "B {n_old} h w"]:
    """The teacher's channels from the net's: the logits of new channels are added to the background's.

    This is what the released code does before POD on logits; probabilities would need log-sum-exp.

    Raises:
        ValueError: where n_old is not in 1 … C.
    """
    if not 1 <= n_old <= logits.shape[1]:
        raise ValueError(f"n_old must be between 1 and the {logits.shape[1]} channels of the logits, not {n_old}")
    logits = at_least_float32(logits)
    background = logits[:, :1] + logits[:, n_old:].sum(dim=1, keepdim=True)
    return torch.cat([background, logits[:, 1:n_old]], dim=1)


def _used(scales: Sequence[int], width: int) -> Sequence[int]:
    """The scales that fit; where none does, all, for the errors of `_side`."""
    if not scales:
        raise ValueError("local POD needs at least one scale, such as (1, 2, 4)")
    return fitting_scales(scales, width) or scales


def _check_same_shape(new: Tensor, old: Tensor) -> None:
    if new.shape != old.shape:
        raise ValueError(f"POD compares maps of one shape, not {tuple(new.shape)} with {tuple(old.shape)}")


def _squared_difference(new: Tensor, old: Tensor) -> Tensor:
    """new² − old². Φ is linear, so embedding the difference once replaces embedding both maps."""
    _check_same_shape(new, old)
    new, old = at_least_float32(new), at_least_float32(old)
    return (new - old) * (new + old)


def _bands(x: Tensor, scale: int) -> list[Tensor]:
    """The regions' means: (B, rows of regions, scale, C (height + side)) for each band of equal regions.

    There is one band, or two where the last row of regions is cut short.
    """
    height, width = x.shape[2:]
    side = _side(height, width, scale)
    whole = min(scale, height // side)
    bands = [_means(x[:, :, : whole * side], whole, scale, side)] if whole else []
    return bands if whole == scale else [*bands, _means(x[:, :, whole * side :], 1, scale, side)]


def _grid(height: int, width: int, scale: int) -> Grid:
    """The bounds of a scale's regions."""
    side = _side(height, width, scale)
    bounds = [place * side for place in range(scale + 1)]
    return Grid(tuple(min(bound, height) for bound in bounds), tuple(bounds))


def _side(height: int, width: int, scale: int) -> int:
    """A region's side in pixels of the map; ValueError where the scale does not fit."""
    if not 1 <= scale <= width:
        raise ValueError(f"scale {scale} does not fit a map of side {width}: it must be between 1 and the side")
    side = width // scale
    if height <= (scale - 1) * side:
        raise ValueError(
            f"at scale {scale} a map of side {width} has regions of side {side}, and the last are "
            f"outside its height {height}: local POD needs maps that are nearly square, or higher than wide"
        )
    return side


def _means(x: Tensor, rows: int, scale: int, side: int) -> Tensor:
    """From (B, C, rows · height, W), divided into rows x scale regions, to (B, rows, scale, C (height + side))."""
    x = x[..., : scale * side]
    regions = x.unflatten(3, (scale, side)).unflatten(2, (rows, -1))  # B C i height j side
    over_columns = regions.mean(dim=5).permute(0, 2, 4, 1, 3)  # B i j C height
    over_rows = regions.mean(dim=3).permute(0, 2, 3, 1, 4)  # B i j C side
    return torch.cat([over_columns.flatten(3), over_rows.flatten(3)], dim=3)
