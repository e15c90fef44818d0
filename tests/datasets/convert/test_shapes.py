"""Polygons pixel for pixel: pycocotools and Pillow are the oracles."""

import numpy as np
import pytest
from conversions import array
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pycocotools import mask as pycoco

from plopkit.datasets.convert import shapes

# pycocotools decodes by an array interface that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

coordinates = st.one_of(
    st.integers(-9, 49).map(float),
    st.integers(-45, 245).map(lambda n: n / 5),
    st.floats(-10, 50, allow_nan=False, width=32),
)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9), st.integers(1, 40), st.integers(1, 40))
def test_polygons_are_filled_as_pycocotools_fills_them(
    points: list[tuple[float, float]], height: int, width: int
) -> None:
    flat = [value for point in points for value in point]
    expected = pycoco.decode(pycoco.merge(pycoco.frPyObjects([flat], height, width))).astype(bool)
    assert np.array_equal(shapes.polygon(points, (height, width)), expected)


def test_a_rectangle_covers_the_pixels_whose_centres_are_inside() -> None:
    assert np.array_equal(
        shapes.polygon(shapes.box(1, 1, 3, 2), (4, 6)),
        array("000000 011100 011100 000000").astype(bool),
    )


def test_the_two_rules_differ_by_a_row_and_a_column() -> None:
    corners = [(1.0, 1.0), (4.0, 1.0), (4.0, 3.0), (1.0, 3.0)]
    assert shapes.polygon(corners, (5, 6)).sum() == 6
    assert shapes.outlined_polygon(corners, (5, 6)).sum() == 12
    assert np.array_equal(shapes.outlined_box((4, 3), (1, 1), (5, 6)), shapes.outlined_polygon(corners, (5, 6)))


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9))
def test_outlined_polygons_differ_from_filled_ones_only_near_the_outline(points: list[tuple[float, float]]) -> None:
    filled, outlined = shapes.polygon(points, (40, 40)), shapes.outlined_polygon(points, (40, 40))
    for y, x in np.argwhere(filled != outlined).tolist():
        edges = zip(points, points[1:] + points[:1], strict=True)
        # Half a pixel right and down, and an outline of one pixel, both rounded.
        assert min(distance(complex(x, y), complex(*start), complex(*end)) for start, end in edges) < 2


def distance(point: complex, start: complex, end: complex) -> float:
    """From a point to an edge."""
    along = end - start
    share = ((point - start) * along.conjugate()).real / abs(along) ** 2 if along else 0.0
    return abs(point - start - along * min(max(share, 0.0), 1.0))


def test_a_polygon_that_crosses_itself_has_a_hole() -> None:
    star = [(0, 0), (10, 0), (10, 10), (0, 10), (0, 0), (3, 3), (3, 7), (7, 7), (7, 3), (3, 3)]
    mask = shapes.polygon([(float(x), float(y)) for x, y in star], (10, 10))
    expected = np.ones((10, 10), bool)
    expected[3:7, 3:7] = False
    assert np.array_equal(mask, expected)


def test_polygons_outside_the_picture_and_beyond_its_edges() -> None:
    assert not shapes.polygon(shapes.box(50, 50, 10, 10), (6, 8)).any()
    assert not shapes.polygon(shapes.box(-50, 2, 10, 10), (6, 8)).any()
    assert shapes.polygon(shapes.box(-1e6, -1e6, 2e6, 2e6), (6, 8)).all()
    assert shapes.outlined_polygon(shapes.box(-1e9, -1e9, 2e9, 2e9), (6, 8)).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_absurd_coordinates_are_refused(value: float) -> None:
    points = [(0.0, 0.0), (value, 1.0), (3.0, 3.0)]
    for fill in (shapes.polygon, shapes.outlined_polygon):
        with pytest.raises(ValueError, match="no number, or far outside"):
            fill(points, (6, 8))


def test_a_box_turned_by_a_right_angle() -> None:
    assert np.allclose(shapes.box(2, 2, 4, 2, 90), [(5, 1), (5, 5), (3, 5), (3, 1)])
    assert np.allclose(shapes.box(2, 2, 4, 2, 90, pivot=(2, 2)), [(2, 2), (2, 6), (0, 6), (0, 2)])


def test_an_ellipse_against_a_loop() -> None:
    mask = shapes.ellipse((10, 8), (6, 3), (16, 20), degrees=30)
    turn = np.exp(-1j * np.pi / 6)
    for y in range(16):
        for x in range(20):
            place = (complex(x + 0.5, y + 0.5) - (10 + 8j)) * turn
            assert mask[y, x] == ((place.real / 6) ** 2 + (place.imag / 3) ** 2 <= 1)
    assert not shapes.ellipse((10, 8), (0, 3), (16, 20)).any()


def test_circles_are_those_of_pillow() -> None:
    picture = Image.new("L", (20, 16))
    ImageDraw.Draw(picture).ellipse([4, 2, 14, 12], outline=1, fill=1)
    assert np.array_equal(shapes.outlined_circle((9, 7), (9, 12), (16, 20)), np.asarray(picture) == 1)


def test_bitmaps_are_cut_at_the_edges() -> None:
    bitmap = np.ones((3, 3), bool)
    assert np.array_equal(shapes.pasted(bitmap, -1, 2, (4, 5)), array("00000 00000 11000 11000") == 1)
    assert not shapes.pasted(bitmap, 9, 9, (4, 5)).any()
