"""Tiles: where they are, how they are mixed, and that a plain loop gives the same logits."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from plopkit.tiling import MULTIPLE, SIDES, blended, shares, side_that_fits, spans, stretched


@given(length=st.integers(1, 3000), tile=st.integers(2, 20).map(lambda n: n * MULTIPLE))
def test_tiles_cover_an_axis_and_overlap(length: int, tile: int) -> None:
    tiles = spans(length, tile)
    assert (tiles[0][0], tiles[-1][1]) == (0, length)
    assert all(start % MULTIPLE == 0 and 0 < stop - start <= tile for start, stop in tiles)
    overlaps = [before[1] - after[0] for before, after in pairwise(tiles)]
    assert all(overlap >= max(MULTIPLE, tile // 4 // MULTIPLE * MULTIPLE) for overlap in overlaps)
    assert all(before[0] < after[0] and before[1] < after[1] for before, after in pairwise(tiles))


def test_tiles_of_a_picture() -> None:
    assert spans(100, 128) == [(0, 100)]
    assert spans(128, 128) == [(0, 128)]
    assert spans(300, 128) == [(0, 128), (96, 224), (192, 300)]
    assert spans(640, 256) == [(0, 256), (192, 448), (384, 640)]


@pytest.mark.parametrize("tile", [0, 32, 100, -64])
def test_sides_that_do_not_fit_the_strides_are_refused(tile: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 32, 64 or more, not {tile}"):
        spans(500, tile)


@given(length=st.integers(1, 2000), tile=st.integers(2, 10).map(lambda n: n * MULTIPLE))
def test_shares_add_up_to_one(length: int, tile: int) -> None:
    tiles = spans(length, tile)
    total = torch.zeros(length, dtype=torch.float64)
    for (start, stop), share in zip(tiles, shares(tiles), strict=True):
        assert (share > 0).all()
        total[start:stop] += share
    torch.testing.assert_close(total, torch.ones(length, dtype=torch.float64), rtol=0, atol=1e-6)


def test_the_share_of_a_tile_falls_linearly_to_its_edge() -> None:
    first, second = shares([(0, 8), (4, 12)])
    torch.testing.assert_close(first[:4], torch.ones(4))
    torch.testing.assert_close(first[4:], torch.tensor([0.8, 0.6, 0.4, 0.2]))
    torch.testing.assert_close(second[:4], torch.tensor([0.2, 0.4, 0.6, 0.8]))


def logits_of(image: Tensor) -> Tensor:
    """A net that knows how large its picture is and where a pixel is in it: each tile gives other logits."""
    _, height, width = image.shape
    rows, columns = torch.arange(height).float()[:, None], torch.arange(width).float()
    position = (rows * 7 + columns * 3) % 11
    return torch.stack([image[0] * 0.1 + position, image[1] * 0.2 - position, image[2] * 0.1 + height + width])[None]


def by_plain_loops(image: Tensor, tile: int) -> np.ndarray:
    """Each pixel's mean over the tiles that hold it, weighted by their distance from the pixel to their inner edges."""
    _, height, width = image.shape
    rows, columns = spans(height, tile), spans(width, tile)

    def weight(tiles: list[tuple[int, int]], index: int, at: int) -> float:
        start, stop = tiles[index]
        result = 1.0
        if index and at < tiles[index - 1][1]:
            result *= (at - start + 1) / (tiles[index - 1][1] - start + 1)
        if index + 1 < len(tiles) and at >= tiles[index + 1][0]:
            result *= (stop - at) / (stop - tiles[index + 1][0] + 1)
        return result

    parts = {(r, c): logits_of(image[:, r[0] : r[1], c[0] : c[1]])[0].numpy() for r in rows for c in columns}
    result = np.zeros((3, height, width))
    for y in range(height):
        for x in range(width):
            total = 0.0
            for i, row in enumerate(rows):
                for j, column in enumerate(columns):
                    if row[0] <= y < row[1] and column[0] <= x < column[1]:
                        share = weight(rows, i, y) * weight(columns, j, x)
                        total += share
                        result[:, y, x] += share * parts[row, column][:, y - row[0], x - column[0]]
            result[:, y, x] /= total
    return result


@pytest.mark.parametrize(("height", "width"), [(150, 70), (64, 200), (97, 129)])
def test_blended_logits_are_those_of_a_plain_loop(height: int, width: int) -> None:
    image = torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    bands = list(blended(logits_of, image, 64))
    assert len(bands) == len(spans(height, 64))
    found = torch.cat(bands, 2)[0].double().numpy()
    np.testing.assert_allclose(found, by_plain_loops(image, 64), rtol=1e-5, atol=1e-4)


def test_away_from_edges_tiles_give_what_the_whole_picture_does() -> None:
    """A convolution that sees 5 pixels: only within 2 pixels of a tile's edge can its logits differ."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, 5, 5, generator=generator)
    image = torch.randint(0, 256, (3, 160, 224), generator=generator, dtype=torch.uint8)

    def convolved(part: Tensor) -> Tensor:
        return F.conv2d(part[None] / 255, weight, padding=2)

    whole, tiled = convolved(image), torch.cat(list(blended(convolved, image, 96)), 2)
    edges = {edge for start, stop in (*spans(160, 96), *spans(224, 96)) for edge in (start, stop)}
    far = [[all(abs(at + 0.5 - edge) > 2 for edge in edges - {0, n}) for at in range(n)] for n in (160, 224)]
    inner = torch.tensor(far[0])[:, None] & torch.tensor(far[1])
    assert inner.float().mean() > 0.8
    torch.testing.assert_close(tiled[..., inner], whole[..., inner], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(tiled, whole, atol=1e-3)


@pytest.mark.parametrize("size", [(50, 91), (7, 30), (13, 17), (1, 1)])
def test_stretched_is_interpolation(size: tuple[int, int]) -> None:
    logits = torch.randn(1, 3, 13, 17, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    found = torch.cat(list(stretched(logits, *size, rows=8)), 2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_largest_tile_that_fits() -> None:
    assert side_that_fits(1000, 1000, 100, 10, 101_000_000) is None
    assert side_that_fits(1001, 1000, 100, 10, 101_000_000) == 512  # 1024: 104,857,600 + 20,480,000
    assert side_that_fits(3000, 3000, 100, 10, 550_000_000) == 2048  # 419,430,400 + 122,880,000
    assert side_that_fits(3000, 3000, 100, 10, 1) == SIDES[-1]
    assert side_that_fits(3162, 3162, 1, 1, 25_000_000) is None
    assert side_that_fits(10, 1_000_000, 1, 1, 25_000_000) == SIDES[-1]  # its upsampling has 500 GB of weights
