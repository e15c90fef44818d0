"""Polygons, boxes and ellipses as masks.

Two rules say which pixels a polygon covers, and each format has the one of its own tool. COCO, CVAT and Label Studio
measure from the picture's corner, so that a pixel is a square whose centre has the coordinates + 0.5, and it is covered
if its centre is inside (`polygon`). labelme and Supervisely name pixels, and the pixels on the outline belong to the
polygon (`outlined_polygon`): one more row and column.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image, ImageDraw

Point = tuple[float, float]
"""x and y in pixels, from the upper left corner of the picture."""
Size = tuple[int, int]
"""Height and width in pixels."""
Mask = Bool[np.ndarray, "h w"]

FARTHEST = 2.0**30
"""Coordinates of this size or more are no place in or near a picture."""
_FINE = 5
"""COCO rounds corners to a fifth of a pixel."""
_EDGES = 512
"""Of a polygon, at a time, so that absurd ones take time and not the memory."""


def polygon(points: Sequence[Point], size: Size) -> Mask:
    """Fill a polygon as pycocotools does (`rleFrPoly`), pixel for pixel.

    Corners are rounded to fifths of a pixel. In each column of pixels, the outline is looked at along the column's
    middle, and each crossing changes between outside and inside for the pixels whose centre lies below it. So a polygon
    that crosses itself is filled by the even-odd rule.

    Args:
        points: The corners; the last one is joined to the first.
        size: Of the picture. Corners may lie outside.

    Raises:
        ValueError: A coordinate is no number, or farther away than any picture is large.
    """
    height, width = size
    mask = np.zeros(size, bool)
    corners = np.trunc(_FINE * _checked(points) + 0.5).astype(np.int64)
    # The part of the picture around the polygon, with a margin for rounding.
    (left, top), (right, bottom) = corners.min(0) // _FINE - 1, corners.max(0) // _FINE + 2
    left, top, right, bottom = max(left, 0), min(max(top, 0), height), min(right, width), max(min(bottom, height), 0)
    if left >= right or top > bottom:
        return mask
    changes = np.zeros((right - left, bottom - top + 1), bool)
    ends = np.roll(corners, -1, 0)
    for first in range(0, len(corners), _EDGES):
        columns, rows = _crossings(corners[first : first + _EDGES], ends[first : first + _EDGES], width)
        below = np.ceil(np.clip((rows + 0.5) / _FINE - 0.5, 0, height)).astype(np.int64)
        np.logical_xor.at(changes, (columns - left, below - top), True)
    inside = np.logical_xor.accumulate(changes, axis=1)
    mask[top:bottom, left:right] = inside[:, : bottom - top].T
    return mask


def _crossings(
    starts: Int[np.ndarray, "edges 2"], ends: Int[np.ndarray, "edges 2"], width: int
) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Where edges cross the middle of columns of pixels.

    An edge is a chain of points on the fine grid, a step along its longer side from each to the next. It crosses the
    middle of column c where it steps from 5 c + 2 to 5 c + 3, or back, and the upper one of the two points counts.

    Returns:
        The columns, and the rows of the points on the fine grid.
    """
    dx, dy = np.abs(ends - starts).T
    is_flat = dx >= dy
    swapped = np.where(is_flat, starts[:, 0] > ends[:, 0], starts[:, 1] > ends[:, 1])[:, None]
    (x0, y0), (x1, y1) = np.where(swapped, ends, starts).T, np.where(swapped, starts, ends).T
    first = np.maximum(0, -((2 - np.minimum(x0, x1)) // _FINE))
    last = np.minimum(width - 1, (np.maximum(x0, x1) - 3) // _FINE)
    counts = np.maximum(last - first + 1, 0)
    edges = np.repeat(np.arange(len(starts)), counts)
    columns = np.arange(len(edges)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edges]
    before = _FINE * columns + 2

    rows = np.zeros(len(edges))
    flat = is_flat[edges]
    edge = edges[flat]
    slope, step = (y1 - y0)[edge] / dx[edge], before[flat] - x0[edge]
    rows[flat] = np.minimum(*(np.trunc(y0[edge] + slope * place + 0.5) for place in (step, step + 1)))

    edge = edges[~flat]
    slope, x, crossed = (x1 - x0)[edge] / dy[edge], x0[edge], before[~flat] + 1

    def is_past(step: np.ndarray) -> np.ndarray:  # rounded as the chain is, so that no step is missed or taken twice
        return (np.trunc(x + slope * step + 0.5) >= crossed) == (slope > 0)

    near = np.round((crossed - 0.5 - x) / slope).astype(np.int64)
    rows[~flat] = y0[edge] + near + 1 - sum(is_past(near + shift).astype(np.int64) for shift in (-1, 0, 1))
    return columns, rows


def outlined_polygon(points: Sequence[Point], size: Size) -> Mask:
    """Fill a polygon whose corners are pixels, with the pixels on its outline, as Pillow draws it."""
    corners = _for_pillow(points)
    return drawn(size, lambda draw: draw.polygon(corners, outline=1, fill=1))


def outlined_box(start: Point, end: Point, size: Size) -> Mask:
    """The pixels from one corner of a box to the opposite one, both included."""
    (x0, y0), (x1, y1) = _for_pillow([start, end])
    return drawn(size, lambda draw: draw.rectangle([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)], fill=1))


def outlined_circle(centre: Point, edge: Point, size: Size) -> Mask:
    """A circle by its centre and a pixel on its edge, as Pillow draws it."""
    (x, y), (edge_x, edge_y) = _for_pillow([centre, edge])
    radius = math.hypot(x - edge_x, y - edge_y)
    return drawn(size, lambda draw: draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=1, fill=1))


def drawn(size: Size, draw: Callable[[ImageDraw.ImageDraw], None]) -> Mask:
    """The pixels that a drawing of Pillow's sets to 1."""
    picture = Image.new("L", size[::-1])
    draw(ImageDraw.Draw(picture))
    return np.asarray(picture) != 0


def box(
    x: float, y: float, width: float, height: float, degrees: float = 0.0, pivot: Point | None = None
) -> list[Point]:
    """The corners of a box.

    Args:
        x: Of its left edge.
        y: Of its upper edge.
        width: In pixels.
        height: In pixels.
        degrees: How far it is turned clockwise.
        pivot: What it is turned around; by default its centre.
    """
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    if not degrees:
        return corners
    cx, cy = pivot or (x + width / 2, y + height / 2)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [(cx + cosine * (a - cx) - sine * (b - cy), cy + sine * (a - cx) + cosine * (b - cy)) for a, b in corners]


def ellipse(centre: Point, radii: Point, size: Size, degrees: float = 0.0) -> Mask:
    """The pixels whose centres are in an ellipse, turned clockwise around its centre."""
    _checked([centre, radii])
    y, x = np.ogrid[: size[0], : size[1]]
    dx, dy = x + 0.5 - centre[0], y + 0.5 - centre[1]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if min(radii) <= 0:
        return np.zeros(size, bool)
    return ((cosine * dx + sine * dy) / radii[0]) ** 2 + ((cosine * dy - sine * dx) / radii[1]) ** 2 <= 1


def pasted(bitmap: Bool[np.ndarray, "rows columns"], left: float, top: float, size: Size) -> Mask:
    """A small mask at its place in the picture; what lies outside is cut off.

    Raises:
        ValueError: The place is no number, or farther away than any picture is large.
    """
    left, top = _checked([(left, top)])[0].astype(int).tolist()
    mask = np.zeros(size, bool)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + bitmap.shape[1], size[1]), min(top + bitmap.shape[0], size[0])
    if x0 < x1 and y0 < y1:
        mask[y0:y1, x0:x1] = bitmap[y0 - top : y1 - top, x0 - left : x1 - left]
    return mask


def _checked(points: Sequence[Point]) -> np.ndarray:
    values = np.asarray(points, dtype=np.float64)
    if not (np.abs(values) < FARTHEST).all():  # false for NaN
        raise ValueError("it has a coordinate that is no number, or far outside any picture")
    return values


def _for_pillow(points: Sequence[Point]) -> list[Point]:
    """Pillow computes with 32 bits; what lies far outside moves nearer, in the same quarter of the plane."""
    return [(x, y) for x, y in np.clip(_checked(points), -(2.0**20), 2.0**20).tolist()]
