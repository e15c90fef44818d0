"""The distance of local POD from sums over strips of the maps, with its gradient written by hand.

Let d = new² − old², and let a strip be one row of a region or one of its columns. An image's distance is ‖e‖, where e
holds the mean of d over each strip of each region of each scale. The bounds of all regions cut both axes into
segments, and every region consists of whole segments. So the strips of all scales follow from the sums of d over
segments, which are small, and d is computed once and never kept. With R and Q the gradients of ‖e‖ with respect to
the sums over segments of columns and of rows, also small,

    ∂‖e‖ / ∂new(h, w) = 2 new(h, w) [R(h, segment of w) + Q(segment of h, w)].

Autograd would instead keep tensors of the map's size, and write one for each axis of each scale. Maps are read in
tiles that fit a cache, channels innermost: this is fast in the memory format channels-last, and correct in any.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby, pairwise, product
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from plopkit.support.precision import at_least_float32

TILE_ON_CPU, TILE = 2**19, 2**24
"""Values of a map that are computed at once: on a CPU what fits its caches (2 MiB of float32), elsewhere 64 MiB."""


class Grid(NamedTuple):
    """The regions of one scale: on each axis their bounds in pixels, from 0 to the end of the last region."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]


def distances(
    new: Float[Tensor, "B C H W"], old: Float[Tensor, "B C H W"], grids: Sequence[Grid]
) -> Float[Tensor, " B"]:
    """By image ‖Φ(new²) − Φ(old²)‖₂, where Φ is `plopkit.pod.local_pod` with the regions of these grids.

    The sums are computed in float32, or in float64 where a map is. Either map may require a gradient, which is 0 where
    the distance is 0.

    Raises:
        RuntimeError: when a gradient is to be differentiated again (`create_graph=True`).
    """
    return _Distances.apply(new, old, tuple(grids))


class _Run(NamedTuple):
    """n neighbouring intervals of one length in pixels and the same number of segments."""

    pixels: slice
    segments: slice
    n: int
    length: int


_Axis = list[tuple[int, _Run]]
"""By scale the extent of its regions on the other axis, and the regions on this one."""


class _Plan(NamedTuple):
    """What the grids amount to on a map: its segments in tiles, and which segments make a region."""

    height: int
    """Pixels below it, or right of `width`, are in no region."""
    width: int
    tiles: list[tuple[_Run, _Run]]
    """Runs of segments, row by column, that cover all regions: few, each as large as possible."""
    small_tiles: list[tuple[_Run, _Run]]
    """The same, one segment by one."""
    columns: _Axis
    rows: _Axis


class _Distances(Function):
    @staticmethod
    def forward(ctx: Any, new: Tensor, old: Tensor, grids: tuple[Grid, ...]) -> Tensor:
        plan = _plan(grids)
        over_columns, over_rows = _sums(new, old, plan)
        of_columns, of_rows = _strips(over_columns, plan.columns), _strips(over_rows, plan.rows)
        norms = [*_norms(of_columns, plan.columns), *_norms(of_rows, plan.rows)]
        distance = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        if any(ctx.needs_input_grad):
            r, q = _spread(of_columns, over_columns, plan.columns), _spread(of_rows, over_rows, plan.rows)
            maps = [x if wanted else None for x, wanted in zip((new, old), ctx.needs_input_grad, strict=False)]
            ctx.plan = plan
            ctx.save_for_backward(distance, r, q, *maps)
        return distance

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        if torch.is_grad_enabled():  # that is, create_graph=True
            raise RuntimeError(
                "the distance of local POD has a gradient but no second derivative: leave out create_graph=True, "
                "or compute the distance from plopkit.pod.local_pod, which can be differentiated twice"
            )
        distance, r, q, new, old = ctx.saved_tensors
        factor = torch.where(distance == 0, 0, 2 * outer / distance)[:, None, None, None]
        of_new = None if new is None else _gradient(new, r * factor, q * factor, ctx.plan)
        of_old = None if old is None else _gradient(old, r * -factor, q * -factor, ctx.plan)
        return of_new, of_old, None


def _sums(new: Tensor, old: Tensor, plan: _Plan) -> tuple[Tensor, Tensor]:
    """new² − old² over segments of columns, (B, height, segments, C), and of rows, (B, width, segments, C)."""
    rows, columns = (last.segments.stop for last in plan.tiles[-1])
    dtype = torch.promote_types(torch.promote_types(new.dtype, old.dtype), torch.float32)
    over_columns = new.new_empty((len(new), plan.height, columns, new.shape[1]), dtype=dtype)
    over_rows = new.new_empty((len(new), rows, plan.width, new.shape[1]), dtype=dtype)
    new, old = _channels_innermost(new), _channels_innermost(old)
    for images, row, column in _tiles(new, plan):
        x, y = (at_least_float32(of[images, row.pixels, column.pixels]) for of in (new, old))
        d = _split(_split((x - y).mul_(x + y), 2, column.n), 1, row.n)  # B, n, height, m, width, C
        torch.sum(d, 4, out=_split(over_columns[images, row.pixels, column.segments], 1, row.n))
        torch.sum(d, 2, out=_split(over_rows[images, row.segments, column.pixels], 2, column.n))
    return over_columns, over_rows.transpose(1, 2)


def _strips(sums: Tensor, axis: _Axis) -> list[Tensor]:
    """The sums over the strips of each run of regions, (B, extent, n, C), from those over segments."""
    parts = [_split(sums[:, :extent, run.segments], 2, run.n) for extent, run in axis]
    return [part.squeeze(3) if part.shape[3] == 1 else part.sum(3) for part in parts]


def _norms(strips: list[Tensor], axis: _Axis) -> Iterator[Tensor]:
    """By run ‖means over the strips‖."""
    for strip, (_, run) in zip(strips, axis, strict=True):
        yield torch.linalg.vector_norm(strip, dim=(1, 2, 3)) / run.length


def _spread(strips: list[Tensor], sums: Tensor, axis: _Axis) -> Tensor:
    """Half the gradient of ‖means over the strips‖² with respect to the sums over segments."""
    gradient = torch.zeros_like(sums)
    for strip, (extent, run) in zip(strips, axis, strict=True):
        _split(gradient[:, :extent, run.segments], 2, run.n).add_(strip.unsqueeze(3), alpha=1 / run.length**2)
    return gradient


def _gradient(x: Tensor, r: Tensor, q: Tensor, plan: _Plan) -> Tensor:
    """x (R + Q), and 0 outside all regions; in the type and the memory format of x."""
    result = torch.empty_like(x)
    x, gradient, q = _channels_innermost(x), _channels_innermost(result), q.transpose(1, 2)
    gradient[:, plan.height :] = 0
    gradient[:, :, plan.width :] = 0
    for images, row, column in _tiles(x, plan):
        of_row = _split(r[images, row.pixels, column.segments], 1, row.n).unsqueeze(4)
        of_column = _split(q[images, row.segments, column.pixels], 2, column.n).unsqueeze(2)
        tile, goal = (
            _split(_split(of[images, row.pixels, column.pixels], 2, column.n), 1, row.n) for of in (x, gradient)
        )
        torch.mul(of_row + of_column, tile, out=goal)
    return result


def _tiles(x: Tensor, plan: _Plan) -> Iterator[tuple[slice, _Run, _Run]]:
    """The images, rows and columns to compute at once."""
    most = TILE_ON_CPU if x.device.type == "cpu" else TILE
    if x.numel() <= most:
        images, tiles = len(x), plan.tiles
    else:
        tiles = plan.small_tiles
        images = max(1, most // max(x.shape[3] * row.length * column.length for row, column in tiles))
    for first in range(0, len(x), images):
        for row, column in tiles:
            yield slice(first, first + images), row, column


@lru_cache
def _plan(grids: tuple[Grid, ...]) -> _Plan:
    rows, columns = (sorted({bound for grid in grids for bound in grid[axis]}) for axis in (0, 1))
    return _Plan(
        height=rows[-1],
        width=columns[-1],
        tiles=list(product(_runs(rows, rows), _runs(columns, columns))),
        small_tiles=list(product(_segments(rows), _segments(columns))),
        columns=[(grid.rows[-1], run) for grid in grids for run in _runs(grid.columns, columns)],
        rows=[(grid.columns[-1], run) for grid in grids for run in _runs(grid.rows, rows)],
    )


def _segments(cuts: list[int]) -> list[_Run]:
    """Each segment by itself."""
    return [run for ends in pairwise(cuts) for run in _runs(ends, cuts)]


def _runs(bounds: Sequence[int], cuts: list[int]) -> list[_Run]:
    """The intervals between bounds, in as few runs as possible; the cuts are the bounds of the segments."""
    segment = {cut: number for number, cut in enumerate(cuts)}
    sizes = [(stop - start, segment[stop] - segment[start]) for start, stop in pairwise(bounds)]
    runs = []
    first = 0
    for (length, _), equal in groupby(sizes):
        n = len(list(equal))
        start, stop = bounds[first], bounds[first + n]
        runs.append(_Run(slice(start, stop), slice(segment[start], segment[stop]), n, length))
        first += n
    return runs


def _split(x: Tensor, dim: int, n: int) -> Tensor:
    """A view whose axis dim is n intervals, by what is in each."""
    return x.unflatten(dim, (n, -1))


def _channels_innermost(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)
