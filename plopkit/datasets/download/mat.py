"""The arrays in a MATLAB file of version 5, as far as SBD's masks need them.

scipy reads any MATLAB file, but a damaged one can crash it, and the process with it. This reader knows what SBD holds:
a structure with a field of 8-bit labels.

Source: MAT-File Format, The MathWorks, of MATLAB 5 and later.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

HEADER = 128
MOST_BYTES = 2**24
"""Of a file's content after decompression: a mask of SBD has at most 500 x 500 pixels and some outlines."""
UINT8, MATRIX, COMPRESSED = 2, 14, 15
"""Types of elements."""
STRUCT, UINT8_ARRAY = 2, 9
"""Classes of arrays."""


class Element(NamedTuple):
    """A piece of a file: its type and its bytes."""

    kind: int
    content: memoryview


def read_field(content: bytes, variable: str, field: str) -> np.ndarray:
    """The 8-bit numbers in a field of a structure.

    Args:
        content: The file.
        variable: The structure's name.
        field: The field's name.

    Returns:
        A two-dimensional uint8 array.

    Raises:
        ValueError: The file is damaged, of another version, or has no such field of 8-bit numbers.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if len(content) < HEADER or order is None:
        raise ValueError("not a MATLAB file of version 5")
    try:
        for element in _elements(memoryview(content)[HEADER:], order):
            if element.kind == COMPRESSED:
                element = next(_elements(memoryview(_inflated(element.content)), order))
            found = _field(element, variable, field, order)
            if found is not None:
                return found
    except (struct.error, zlib.error, IndexError, StopIteration) as error:
        raise ValueError(f"damaged ({error or type(error).__name__})") from error
    raise ValueError(f"it has no structure {variable} with a field {field}")


def _inflated(content: memoryview) -> bytes:
    machine = zlib.decompressobj()
    result = machine.decompress(content, MOST_BYTES)
    if machine.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {MOST_BYTES:,} bytes")
    if not machine.eof:
        raise ValueError("damaged (it ends in the middle)")
    return result


def _elements(data: memoryview, order: str) -> Iterator[Element]:
    """The elements that follow each other."""
    place = 0
    while place < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, place)
        if kind >> 16:  # a small element: size and type share four bytes, and the content has four
            kind, size, begin, end = kind & 0xFFFF, kind >> 16, place + 4, place + 8
            if size > 4:
                raise ValueError("damaged (a small element that is large)")
        else:
            begin = place + 8
            end = begin + size + (-size % 8 if kind != COMPRESSED else 0)
        if begin + size > len(data):
            raise ValueError("damaged (it ends in the middle)")
        yield Element(kind, data[begin : begin + size])
        place = end


def _field(element: Element, variable: str, field: str, order: str) -> np.ndarray | None:
    """The field of the structure, if this element is the structure."""
    if element.kind != MATRIX:
        return None
    parts = _elements(element.content, order)
    if _array_class(next(parts), order) != STRUCT:
        return None
    next(parts)  # its dimensions: 1 x 1
    if bytes(next(parts).content) != variable.encode():
        return None
    (length,) = struct.unpack(f"{order}i", next(parts).content)
    names = bytes(next(parts).content)
    if length < 1:
        raise ValueError("damaged (fields without names)")
    fields = [names[place : place + length].split(b"\0")[0] for place in range(0, len(names), length)]
    if field.encode() not in fields:
        return None
    for _ in range(fields.index(field.encode())):
        next(parts)
    return _labels(next(parts), order)


def _labels(element: Element, order: str) -> np.ndarray:
    parts = _elements(element.content, order)
    if element.kind != MATRIX or _array_class(next(parts), order) != UINT8_ARRAY:
        raise ValueError("its labels are not 8-bit numbers")
    shape = np.frombuffer(next(parts).content, f"{order}i4")
    next(parts)  # a field's array has no name
    values = next(parts)
    if (
        len(shape) != 2
        or values.kind != UINT8
        or (shape < 0).any()
        or int(shape[0]) * int(shape[1]) != len(values.content)
    ):
        raise ValueError("damaged (labels of another number than it says)")
    return np.frombuffer(values.content, np.uint8).reshape(shape, order="F")


def _array_class(element: Element, order: str) -> int:
    (flags,) = struct.unpack_from(f"{order}I", element.content)
    return flags & 0xFF
