"""Run-length codes against plain encoders, and pycocotools."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as pycoco

from plopkit.datasets.convert.rle import coco_counts, coco_mask, label_studio_values, runs

# pycocotools decodes by an array interface that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")


def random_mask(seed: int, height: int, width: int) -> np.ndarray:
    blocks = np.random.default_rng(seed).random((height // 3 + 1, width // 3 + 1)) < 0.4
    return np.kron(blocks, np.ones((3, 3), bool))[:height, :width]


@given(st.integers(0, 999), st.integers(1, 300), st.integers(1, 40))
def test_coco_codes_decode_as_pycocotools_does(seed: int, height: int, width: int) -> None:
    mask = random_mask(seed, height, width)
    code = pycoco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert np.array_equal(coco_mask(code["counts"], (height, width)), mask)
    assert np.array_equal(coco_mask(code["counts"].decode(), (height, width)), mask)
    assert np.array_equal(coco_mask(coco_counts(code["counts"]), (height, width)), mask)


def test_uncompressed_runs_go_down_the_columns() -> None:
    assert np.array_equal(coco_mask([1, 2, 3], (2, 3)), [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(("counts", "n"), [([3, 4], 6), ([3, 2], 6), ([-1, 7], 6), ([2**40], 6), ([], 6)])
def test_runs_of_another_sum_are_refused(counts: list[int], n: int) -> None:
    with pytest.raises(ValueError, match=r"run lengths add up to .* covers 6 pixels"):
        runs(counts, n)


@pytest.mark.parametrize(
    ("code", "what"), [("a", "ends within a number"), ("1 2", "the character ' '"), ("é", "character")]
)
def test_damaged_coco_codes_are_refused(code: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        coco_counts(code)


def packed(values: np.ndarray, lengths: tuple[int, ...] = (3, 4, 8, 16)) -> bytes:
    """Encode as Label Studio's rle-pack does: runs, and literal values where neighbours differ."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{length - 1:04b}" for length in lengths)
    start = 0
    while start < len(values):
        is_run = start + 1 < len(values) and values[start] == values[start + 1]
        end = start + 1
        while end < len(values) and end - start < 2 ** lengths[-1]:
            same = values[end] == values[end - 1]
            if is_run != same:
                break
            end += 1
        kind = next(i for i, length in enumerate(lengths) if end - start <= 2**length)
        bits += f"{int(is_run)}{kind:02b}{end - start - 1:0{lengths[kind]}b}"
        bits += "".join(f"{value:08b}" for value in (values[start : start + 1] if is_run else values[start:end]))
        start = end
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


@given(st.integers(0, 999), st.integers(1, 30), st.integers(1, 30), st.booleans())
def test_label_studio_codes_decode(seed: int, height: int, width: int, soft: bool) -> None:
    values = np.repeat(random_mask(seed, height, width).ravel() * np.uint8(255), 4)
    if soft:
        values = np.random.default_rng(seed).integers(0, 4, values.shape).astype(np.uint8)
    assert np.array_equal(label_studio_values(packed(values), len(values)), values)


def test_a_label_studio_code_written_by_hand() -> None:
    # 5 values of 8 bits; lengths of 2, 2, 2, 2 bits; a run of 3 values 9, then the literals 1 and 2.
    bits = f"{5:032b}{7:05b}" + f"{1:04b}" * 4 + "1" + "00" + "10" + f"{9:08b}" + "0" + "01" + "01" + f"{1:08b}{2:08b}"
    bits += "0" * (-len(bits) % 8)
    code = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    assert label_studio_values(code, 5).tolist() == [9, 9, 9, 1, 2]


def test_damaged_label_studio_codes_are_refused() -> None:
    code = packed(np.arange(40, dtype=np.uint8))
    for cut in (0, 3, 9, 20):
        with pytest.raises(ValueError, match="cut off"):
            label_studio_values(code[:cut], 40)
    with pytest.raises(ValueError, match="40 values of 8 bits; at most 39"):
        label_studio_values(code, 39)
