"""Run-length codes of masks, as COCO, CVAT and Label Studio write them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8


def runs(counts: Sequence[int], n_pixels: int) -> Bool[np.ndarray, "pixels"]:
    """Expand run lengths; the first run is of pixels outside the mask, and they take turns.

    Args:
        counts: The length of each run.
        n_pixels: The sum of all.

    Raises:
        ValueError: A length is negative, or they have another sum.

    Example:
        >>> runs([1, 2, 1], 4)
        array([False,  True,  True, False])
    """
    lengths = np.asarray(counts, dtype=np.int64)
    if (lengths < 0).any() or (lengths > n_pixels).any() or lengths.sum() != n_pixels:
        raise ValueError(f"its run lengths add up to {int(lengths.sum()):,}, but it covers {n_pixels:,} pixels")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def coco_mask(counts: Sequence[int] | str | bytes, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Decode a COCO RLE, whose runs go down the columns.

    Args:
        counts: The run lengths, or their compressed form.
        size: Height and width.

    Raises:
        ValueError: The code is damaged.
    """
    if isinstance(counts, str | bytes):
        counts = coco_counts(counts)
    height, width = size
    return runs(counts, height * width).reshape(width, height).T


def coco_counts(code: str | bytes) -> list[int]:
    """Decompress the run lengths of a COCO RLE (`rleFrString` of pycocotools).

    A number is written in characters of 5 bits, low bits first; bit 6 says that another character follows. From the
    fourth number on, each is the difference from the number two before.

    Raises:
        ValueError: The code ends within a number, or has other characters.

    Example:
        >>> coco_counts("162")
        [1, 6, 2]
    """
    counts: list[int] = []
    value = shift = 0
    for character in code.encode() if isinstance(code, str) else code:
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError(f"its RLE has the character {chr(character)!r}, which no compressed RLE of COCO has")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("its RLE ends within a number: it was cut off")
    return counts


def label_studio_values(code: bytes, most: int) -> UInt8[np.ndarray, "values"]:
    """Decode Label Studio's brush masks, which are written by `rle-pack` of thi.ng.

    A header of bits (32: number of values, 5: bits of a value - 1, four times 4: bits of a length - 1), then blocks: 1
    bit that says whether one value is repeated, 2 bits that choose the bits of the length, the length - 1, and the
    value, or all values.

    Args:
        code: The bytes in `value.rle` of a result.
        most: The largest number of values that is expected.

    Returns:
        For a brush mask, the four channels of each pixel; the last one is the mask.

    Raises:
        ValueError: The code is damaged.
    """
    bits = np.unpackbits(np.frombuffer(code, np.uint8))
    text = (bits + 48).tobytes().decode()
    place = 0

    def number(width: int) -> int:
        nonlocal place
        place += width
        if place > len(text):
            raise ValueError("its RLE ends too early: it was cut off")
        return int(text[place - width : place], 2)

    n_values, width = number(32), number(5) + 1
    lengths = [number(4) + 1 for _ in range(4)]
    if width != 8 or n_values > most:
        raise ValueError(f"its RLE has {n_values:,} values of {width} bits; at most {most:,} of 8 bits are expected")
    values = np.zeros(n_values, np.uint8)
    start = 0
    while start < n_values:
        is_run, kind = number(1), number(2)
        end = min(start + 1 + number(lengths[kind]), n_values)
        if is_run:
            values[start:end] = number(8)
        else:
            first = place
            place += 8 * (end - start)
            if place > len(text):
                raise ValueError("its RLE ends too early: it was cut off")
            values[start:end] = np.packbits(bits[first:place])
        start = end
    return values
