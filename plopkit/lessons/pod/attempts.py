"""The function to write in lesson 03: the pooling of local POD."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from plopkit.lessons.attempts import Attempt, Inputs
from plopkit.pod import local_pod

Map = Float[Tensor, "B C H W"]
Pool = Callable[[Tensor], list[Tensor]]


def reference(x: Map, scale: int) -> Tensor:
    """The library's embedding at one scale."""
    return local_pod(x, (scale,))


def hidden() -> list[Inputs]:
    """Square maps of several sizes whose side the scale divides, squared already."""
    random = torch.Generator().manual_seed(3)
    sizes = ((2, 3, 8, 2), (1, 2, 8, 4), (2, 4, 6, 1), (1, 3, 9, 3))
    return [(torch.rand(b, c, side, side, generator=random), scale) for b, c, side, scale in sizes]


def columns_then_rows(region: Tensor) -> list[Tensor]:
    """The strips as they should be: the means over the columns, then those over the rows."""
    return [region.mean(3).flatten(1), region.mean(2).flatten(1)]


def variant(pool: Pool = columns_then_rows, by_columns: bool = False) -> Callable[[Tensor, int], Tensor]:
    """A pooling with other strips, or with the regions in another order."""

    def pooled(x: Map, scale: int) -> Tensor:
        side = x.shape[3] // scale
        starts = [(i, j) for i in range(0, scale * side, side) for j in range(0, scale * side, side)]
        places = [(j, i) for i, j in starts] if by_columns else starts
        regions = [x[:, :, i : i + side, j : j + side] for i, j in places]
        return torch.cat([strip for region in regions for strip in pool(region)], 1)

    return pooled


def axis_by_axis(x: Map, scale: int) -> Tensor:
    """All regions' means over the columns first, then all their means over the rows."""
    by_rows, by_columns = variant(lambda r: [r.mean(3).flatten(1)]), variant(lambda r: [r.mean(2).flatten(1)])
    return torch.cat([by_rows(x, scale), by_columns(x, scale)], 1)


def sides_for_scales(x: Map, scale: int) -> Tensor:
    """Takes the scale for the side of a region."""
    return variant()(x, x.shape[3] // scale)


ATTEMPTS: dict[str, Attempt] = {
    "03.pool": Attempt(
        reference,
        hidden,
        {
            "the axes are swapped: first the means over the columns (axis 3: a value per row), then those over the "
            "rows.": variant(lambda r: [r.mean(2).flatten(1), r.mean(3).flatten(1)]),
            "a division is missing: the strips are means, not sums.": variant(
                lambda r: [r.sum(3).flatten(1), r.sum(2).flatten(1)]
            ),
            "strips are means, not maxima.": variant(lambda r: [r.amax(3).flatten(1), r.amax(2).flatten(1)]),
            "the regions are in the wrong order: row by row, as one reads.": variant(by_columns=True),
            "the order: both strips of a region come together, before those of the next region.": axis_by_axis,
            "the channels come last here: each strip holds the whole row of channel 0 first, then that of channel 1 "
            "(flatten a (B, C, side) tensor).": variant(
                lambda r: [r.mean(3).movedim(1, 2).flatten(1), r.mean(2).movedim(1, 2).flatten(1)]
            ),
            "nothing is cut: average inside each of the scale x scale regions.": lambda x, scale: torch.cat(
                columns_then_rows(x), 1
            ),
            "`scale` is the number of regions along a side; a region's side is W // scale.": sides_for_scales,
            "the map is squared already; do not square it again.": lambda x, scale: variant()(x.square(), scale),
            "the channels are averaged; every channel keeps its own strips.": variant(
                lambda r: [r.mean((1, 3)), r.mean((1, 2))]
            ),
            "wrong axis: this averages over both axes of a region at once; strips average over one at a time.": (
                variant(lambda r: [r.mean((2, 3))])
            ),
            "half of it is missing: also average over the rows, which gives a value per column.": variant(
                lambda r: [r.mean(3).flatten(1)]
            ),
            "half of it is missing: also average over the columns, which gives a value per row.": variant(
                lambda r: [r.mean(2).flatten(1)]
            ),
            "wrong layout: put the two strips of a channel apart, first all channels' row values, then all column "
            "values.": variant(lambda r: [torch.cat([r.mean(3), r.mean(2)], 2).flatten(1)]),
        },
        "try a 2 x 2 map at scale 1 by hand: the two means of its rows come first, then those of its columns.",
        """\
import torch


def pool(x, scale):
    side = x.shape[3] // scale
    strips = []
    for i in range(0, scale * side, side):
        for j in range(0, scale * side, side):
            region = x[:, :, i : i + side, j : j + side]
            strips += [region.mean(3).flatten(1), region.mean(2).flatten(1)]
    return torch.cat(strips, 1)
""",
    )
}
