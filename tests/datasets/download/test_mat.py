"""SBD's masks, against scipy as the oracle."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.sparse import csc_matrix

from plopkit.datasets.download.mat import read_field


def written(fields: dict[str, object], compressed: bool) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, {"other": np.eye(3), "GTcls": fields}, do_compression=compressed)
    return buffer.getvalue()


def fields_of(values: np.ndarray) -> dict[str, object]:
    outlines = np.empty((20, 1), object)
    for label in range(20):
        outlines[label, 0] = csc_matrix(np.eye(4) * (label % 2))
    return {"Boundaries": outlines, "Segmentation": values, "CategoriesPresent": np.array([1, 2], np.uint8)}


@given(st.integers(0, 40), st.integers(0, 40), st.booleans(), st.booleans())
def test_the_labels_are_those_that_scipy_writes(height: int, width: int, compressed: bool, reverse: bool) -> None:
    values = np.random.default_rng(height).integers(0, 21, (height, width)).astype(np.uint8)
    fields = fields_of(values)
    content = written(dict(reversed(fields.items())) if reverse else fields, compressed)
    found = read_field(content, "GTcls", "Segmentation")
    assert found.dtype == np.uint8
    assert np.array_equal(found, values)


@pytest.mark.parametrize("compressed", [True, False])
def test_what_is_not_such_a_file_is_refused(compressed: bool) -> None:
    content = written(fields_of(np.ones((3, 4), np.uint8)), compressed)
    for field, variable in (("Segmentation", "nothing"), ("nothing", "GTcls")):
        with pytest.raises(ValueError, match="it has no structure"):
            read_field(content, variable, field)
    with pytest.raises(ValueError, match="not 8-bit numbers"):
        read_field(written(fields_of(np.ones((3, 4))), compressed), "GTcls", "Segmentation")
    for other in (b"", b"MATLAB 7.3", content[:127], content[:126] + b"XX" + content[128:]):
        with pytest.raises(ValueError, match="not a MATLAB file of version 5"):
            read_field(other, "GTcls", "Segmentation")


@pytest.mark.parametrize("compressed", [True, False])
def test_a_truncated_file_is_refused(compressed: bool) -> None:
    content = written(fields_of(np.ones((3, 4), np.uint8)), compressed)
    for length in range(128, len(content) - 1, 7):
        with pytest.raises(ValueError, match=r"damaged|it has no structure"):
            read_field(content[:length], "GTcls", "Segmentation")


def test_a_file_that_unpacks_to_gigabytes_is_refused() -> None:
    head = written(fields_of(np.ones((3, 4), np.uint8)), False)[:128]
    packed = zlib.compress(bytes(2**25))
    with pytest.raises(ValueError, match="it unpacks to more than 16,777,216 bytes"):
        read_field(head + struct.pack("<II", 15, len(packed)) + packed, "GTcls", "Segmentation")
