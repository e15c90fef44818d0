"""Pooled-cube distillation (RCIL, Zhang et al., CVPR 2022): squared maps, averaged over space and over channels.

Let d = new² − old² be the difference of two squared maps, B x C x h x w. For a side k in `SIDES`, S_k averages d over
k x k pixels with stride 1, on a map padded by k / 2 zeros, which count: (h + 1) x (w + 1) values. T averages d over
three neighbouring channels at every pixel, also with zeros that count. The distances of two maps are, by image and then
averaged over the batch,

    spatial = mean over k of ‖S_k d‖₂        channel = ‖T d‖₂.

The term compares the encoder's four maps after their activation, the decoder's map and the small logits. With factors
f_i, f for all but the last map of each sum, and the square root of all channels over the new ones, it is

    √(C / n) (Σ_{i < 6} f_i spatial_i / 6 + Σ_{i < 5} f_i channel_i / 5).

The definition is that of the released code, whose channel part leaves the logits out, so that the decoder's map is the
last there. All averages are linear: S_k is an average over rows and then one over columns, and the gradient
Sᵀ S d / ‖S d‖ consists of the same averages. It is computed together with the value, image by image, so that one tensor
of the map's size is kept, where autograd would keep a dozen.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from plopkit.pod import fold_new_into_background
from plopkit.support.precision import at_least_float32

SIDES = (4, 8, 12, 16, 20, 24)
"""Sides k of the pooling windows."""

TILE_ON_CPU, TILE = 2**20, 2**26
"""Values of the maps that are pooled at once, and at least those of an image."""


def spatial_distance(new: Float[Tensor, "B C h w"], old: Float[Tensor, "B C h w"]) -> Float[Tensor, ""]:
    """Mean over `SIDES` of ‖S_k (new² − old²)‖₂, averaged over the batch.

    Half precision is computed in float32, since squares overflow it. Equal maps give 0 with a zero gradient. The
    gradient cannot be differentiated again.

    Raises:
        ValueError: for maps of different shapes.
    """
    return _distance(new, old, spatial=1.0, channel=0.0)


def channel_distance(new: Float[Tensor, "B C h w"], old: Float[Tensor, "B C h w"]) -> Float[Tensor, ""]:
    """‖T (new² − old²)‖₂ with T the mean over three neighbouring channels; in all else as `spatial_distance`."""
    return _distance(new, old, spatial=0.0, channel=1.0)


def spatial_cube(
    new: Sequence[Tensor], old: Sequence[Tensor], factor: float = 0.01, factor_last: float = 0.0005
) -> Float[Tensor, ""]:
    """The spatial part of `pooled_cube`, with the same arguments."""
    return _cube(new, old, factor, factor_last, spatial=True, channel=False)


def channel_cube(
    new: Sequence[Tensor], old: Sequence[Tensor], factor: float = 0.01, factor_last: float = 0.0005
) -> Float[Tensor, ""]:
    """The channel part of `pooled_cube`, with the same arguments."""
    return _cube(new, old, factor, factor_last, spatial=False, channel=True)


def pooled_cube(
    new: Sequence[Tensor], old: Sequence[Tensor], factor: float = 0.01, factor_last: float = 0.0005
) -> Float[Tensor, ""]:
    """The whole term. The released factors are 0.01 and 0.0005 on VOC, 5e-6 and 5e-7 on ADE20K.

    Args:
        new, old: maps of the net and of the teacher, (B, C, h, w) each: the encoder's after their activation, the
            decoder's, and last the small logits, of which the net has more. The logits of new channels are added to the
            background's (`plopkit.pod.fold_new_into_background`).
        factor: factor of all maps but the last.
        factor_last: factor of the logits in the spatial part, and of the decoder's map in the channel part.

    Raises:
        ValueError: where there are fewer than two maps, their numbers or shapes differ, or the net has fewer channels.
    """
    return _cube(new, old, factor, factor_last, spatial=True, channel=True)


def _cube(
    new: Sequence[Tensor], old: Sequence[Tensor], factor: float, factor_last: float, spatial: bool, channel: bool
) -> Tensor:
    if len(new) != len(old) or len(new) < 2:
        raise ValueError(f"the maps of net and teacher are pairs, at least two, not {len(new)} and {len(old)}")
    n_old, n_seen = old[-1].shape[1], new[-1].shape[1]
    if n_seen < n_old:
        raise ValueError(f"the net has {n_seen} channels, fewer than the teacher's {n_old}")
    folded = [*new[:-1], fold_new_into_background(new[-1], n_old)]
    root = math.sqrt(n_seen / (n_seen - n_old)) if n_seen > n_old else 1.0  # no new class: a step of other domains
    last = len(new) - 1
    terms = []
    for index, (x, y) in enumerate(zip(folded, old, strict=True)):
        over_space = root * (factor_last if index == last else factor) / len(new) if spatial else 0.0
        over_channels = (
            root * (factor_last if index == last - 1 else factor) / last if channel and index < last else 0.0
        )
        if over_space or over_channels:
            terms.append(_distance(x, y, over_space, over_channels))
    return torch.stack(terms).sum() if terms else 0.0 * new[-1].sum()


class _Average(NamedTuple):
    """A linear average of maps, its transpose, and the weight of its norm."""

    apply: Callable[[Tensor], Tensor]
    transposed: Callable[[Tensor], Tensor]
    weight: float


def _distance(new: Tensor, old: Tensor, spatial: float, channel: float) -> Tensor:
    """The weighted sum of both distances, from one look at the maps."""
    if new.shape != old.shape:
        raise ValueError(f"the pooled cube compares maps of one shape, not {tuple(new.shape)} with {tuple(old.shape)}")
    averages = []
    if spatial:
        averages += [_Average(partial(_pooled, side=k), partial(_spread, side=k), spatial / len(SIDES)) for k in SIDES]
    if channel:
        averages.append(_Average(_over_channels, _over_channels, channel))
    with torch.autocast(new.device.type, enabled=False):
        return _Distances.apply(new, old, averages).mean()


class _Distances(Function):
    """By image the weighted sum of the norms of averages of new² − old²."""

    @staticmethod
    def forward(ctx: Any, new: Tensor, old: Tensor, averages: list[_Average]) -> Tensor:
        dtype = torch.promote_types(torch.promote_types(new.dtype, old.dtype), torch.float32)
        distance = new.new_zeros(len(new), dtype=dtype)
        wanted = any(ctx.needs_input_grad)
        gradient = torch.empty_like(new, dtype=dtype) if wanted else None
        most = TILE_ON_CPU if new.device.type == "cpu" else TILE
        images = max(1, most // max(1, new[:1].numel()))
        for first in range(0, len(new), images):
            part = slice(first, first + images)
            x, y = at_least_float32(new[part]), at_least_float32(old[part])
            difference = (x - y).mul_(x + y)
            total = None if gradient is None else gradient[part].zero_()
            for average in averages:
                pooled = average.apply(difference)
                norm = torch.linalg.vector_norm(pooled, dim=(1, 2, 3))
                distance[part].add_(norm, alpha=average.weight)
                if total is not None:
                    share = torch.where(norm == 0, 0, average.weight / norm)
                    total.addcmul_(average.transposed(pooled), share[:, None, None, None])
        if gradient is not None:
            maps = [x if needed else None for x, needed in zip((new, old), ctx.needs_input_grad, strict=False)]
            ctx.save_for_backward(gradient, *maps)
        return distance

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        if torch.is_grad_enabled():  # that is, create_graph=True
            raise RuntimeError("the pooled cube has a gradient but no second derivative: leave out create_graph=True")
        gradient, new, old = ctx.saved_tensors
        twice = 2 * outer[:, None, None, None]
        of_new = None if new is None else (gradient * twice).mul_(new).to(new.dtype)
        of_old = None if old is None else (gradient * -twice).mul_(old).to(old.dtype)
        return of_new, of_old, None


def _pooled(x: Float[Tensor, "B C h w"], side: int) -> Float[Tensor, "B C h+1 w+1"]:
    """The means over side x side pixels with stride 1, of a map padded by half a side of zeros."""
    rows = F.avg_pool2d(x, (side, 1), 1, (side // 2, 0))
    return F.avg_pool2d(rows, (1, side), 1, (0, side // 2))


def _spread(pooled: Float[Tensor, "B C H W"], side: int) -> Float[Tensor, "B C H-1 W-1"]:
    """The transpose of `_pooled`: a pixel's windows are side x side neighbours of the pooled map."""
    return _pooled(pooled, side)[:, :, 1:-1, 1:-1]


def _over_channels(x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
    """The mean of each channel and its two neighbours, zeros beyond the ends; its own transpose."""
    total = x.clone()
    total[:, 1:] += x[:, :-1]
    total[:, :-1] += x[:, 1:]
    return total.div_(3)
