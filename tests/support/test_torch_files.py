"""Checkpoints from strangers: the same values as torch reads, and nothing that a file describes but does not hold."""

import collections
import contextlib
import io
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from plopkit.support.pickled import Call
from plopkit.support.torch_files import (
    read_metadata,
    read_safetensors,
    read_torch,
    readable,
    safetensors_bytes,
    tensors_of,
)

FORMATS = pytest.mark.parametrize("new", [True, False], ids=["zip", "pickles"])


def write(path: Path, value: object, new: bool) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=new)
    return path


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, Tensor):
        plain = (expected.dtype, expected.shape, expected.stride())
        return (found.dtype, found.shape, found.stride()) == plain and torch.equal(found, expected)
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple):
        return type(found) is type(expected) and all(map(same, found, expected)) and len(found) == len(expected)
    return found == expected


@FORMATS
def test_a_training_comes_back(tmp_path: Path, new: bool) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(4, 4).half(), nn.Linear(4, 4).bfloat16())
    optimizer = torch.optim.AdamW(net[:2].parameters(), lr=0.1)
    net[1](net[0](torch.randn(2, 3, 8, 8))).sum().backward()
    optimizer.step()
    grid = torch.arange(100.0).view(10, 10)
    value = {
        "net": dict(net.state_dict()),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "numbers": (1.5, -(2**70), None, True, "é", b"bytes"),
        "views": [grid, grid.T, grid[2:, 3:], torch.empty(0), torch.tensor(3), torch.ones(3, dtype=torch.bool)],
        "channels last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "random": torch.get_rng_state(),
    }
    found = read_torch(write(tmp_path / "a.pt", value, new))
    assert same(found, value)
    assert found["views"][1].data_ptr() == found["views"][0].data_ptr()  # they share their numbers, as before
    found["views"][0][0, 1] = 7
    assert found["views"][1][1, 0] == 7


@FORMATS
def test_what_is_no_tensor_is_left_as_a_note(tmp_path: Path, new: bool) -> None:
    score, state = np.float64(0.5), nn.Linear(2, 2).state_dict()
    found = read_torch(
        write(tmp_path / "a.pt", {"state": state, "score": score, "p": nn.Parameter(torch.ones(2))}, new)
    )
    assert same(found["state"], dict(state))
    assert torch.equal(found["p"], torch.ones(2))
    assert isinstance(found["score"], Call)
    assert found["score"].function.endswith("multiarray.scalar")


@FORMATS
def test_code_is_not_run(tmp_path: Path, new: bool) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "run",)

    for value in (Hostile(), {"a": [Hostile()]}, collections.deque()):
        write(tmp_path / "a.pt", value, new)
        with pytest.raises(ValueError, match="it asks for "):
            read_torch(tmp_path / "a.pt")
    assert not (tmp_path / "run").exists()


class Described:
    """A tensor of which a file says anything."""

    def __init__(self, shape: tuple[int, ...], stride: tuple[int, ...], count: int, offset: int = 0):
        self.shape, self.stride, self.count, self.offset = shape, stride, count, offset

    def __reduce__(self) -> Any:
        storage = Storage(self.count)
        return torch._utils._rebuild_tensor_v2, (storage, self.offset, self.shape, self.stride, False, {})


class Storage:
    def __init__(self, count: int):
        self.count = count


class Writer(pickle.Pickler):
    def persistent_id(self, item: Any) -> Any:
        return ("storage", torch.FloatStorage, "0", "cpu", item.count) if isinstance(item, Storage) else None


def described(value: object, n_bytes: int, new: bool, claimed: int | None = None) -> bytes:
    """A file with this pickle, and a storage of n bytes."""
    text, out = io.BytesIO(), io.BytesIO()
    Writer(text, 2).dump(value)
    if new:
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("a/data.pkl", text.getvalue())
            archive.writestr("a/data/0", bytes(n_bytes))
        return out.getvalue()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        out.write(pickle.dumps(part, 2))
    count = n_bytes // 4 if claimed is None else claimed
    out.write(text.getvalue() + pickle.dumps(["0"], 2) + struct.pack("<Q", count) + bytes(n_bytes))
    return out.getvalue()


@FORMATS
@pytest.mark.parametrize(
    "tensor",
    [
        Described((2**14, 2**16), (0, 0), 4),  # one number, a billion times
        Described((2**30,), (1,), 2**30),  # four GiB
        Described((4,), (2,), 4),
        Described((4,), (1,), 4, offset=1),
        Described((-4,), (1,), 4),
        Described((4,), (-1,), 4),
        Described((2**62, 2**62, 0), (1, 1, 1), 2**70),
        Described((4,), (1, 1), 4),
        Described((4,), (1,), -4),
        Described(("4",), (1,), 4),  # type: ignore[arg-type]
        Described((4,), (1,), 5),
    ],
)  # fmt: skip
def test_a_tensor_that_the_file_does_not_hold_is_refused(tmp_path: Path, tensor: Described, new: bool) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(described({"a": tensor}, 16, new))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"a tensor (of|needs|that)"):
            read_torch(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    path.write_bytes(described({"a": Described((2, 2), (2, 1), 4)}, 16, new))
    assert torch.equal(read_torch(path)["a"], torch.zeros(2, 2))


@FORMATS
def test_tensors_that_share_a_few_numbers_a_million_times_are_refused(tmp_path: Path, new: bool) -> None:
    n = 2**16
    value = {str(index): Described((n,), (1,), n) for index in range(20)}
    (tmp_path / "a.pt").write_bytes(described(value, 4 * n, new))
    with pytest.raises(ValueError, match="its tensors share their numbers, and together they are larger than the file"):
        read_torch(tmp_path / "a.pt")


def nested(depth: int, make: Any) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = make(value)
    return value


@FORMATS
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({nested(20, lambda inner: (inner, inner)): 1}, "a key that is neither a text nor a number"),
        (nested(100, lambda inner: [inner]), "nested more than 50 levels deep"),
        ({"a": bytearray(10)}, "it asks for .*bytearray"),
        ({"a": complex(1, 2)}, "it asks for .*complex"),
    ],
)
def test_other_bombs_are_refused(tmp_path: Path, value: object, problem: str, new: bool) -> None:
    (tmp_path / "a.pt").write_bytes(described(value, 0, new))
    with pytest.raises(ValueError, match=problem):
        read_torch(tmp_path / "a.pt")


def test_lists_that_hold_each_other_twice_are_read_once(tmp_path: Path) -> None:
    """2 ** 40 numbers, if each were looked at."""
    (tmp_path / "a.pt").write_bytes(described({"a": nested(40, lambda inner: [inner, inner])}, 0, True))
    assert len(read_torch(tmp_path / "a.pt")["a"]) == 2


def test_an_archive_that_torch_did_not_write_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt", {"a": torch.ones(1000)}, True)
    for method, name, problem in (
        (zipfile.ZIP_DEFLATED, "a/data.pkl", "its entries are compressed"),
        (zipfile.ZIP_STORED, "a/data.txt", "there is no data.pkl in it"),
    ):
        with zipfile.ZipFile(tmp_path / "b.pt", "w", method) as archive:
            archive.writestr(name, b"\x80\x02}q\x00.")
        with pytest.raises(ValueError, match=problem):
            read_torch(tmp_path / "b.pt")
    content = bytearray(path.read_bytes())
    content[content.index(torch.ones(4).numpy().tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged: Bad CRC-32"):
        read_torch(path)


def test_safetensors_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(save({"a": torch.ones(3)}))
    assert torch.equal(read_safetensors(tmp_path / "a.safetensors")["a"], torch.ones(3))
    for content, problem in ((struct.pack("<Q", 2**40), "its list of tensors would have"), (b"{}", "damaged: ")):
        (tmp_path / "a.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match=problem):
            read_safetensors(tmp_path / "a.safetensors")


def test_only_a_dictionary_of_tensors_is_a_state() -> None:
    state = {"a": torch.ones(1)}
    assert tensors_of(state) is state
    for value in ({}, {"a": 1}, {1: torch.ones(1)}, [torch.ones(1)], None):
        assert tensors_of(value) is None


def test_what_is_made_readable_comes_back(tmp_path: Path) -> None:
    """Torch saves tensors that describe more numbers than they have, which are not read from anybody's file."""
    row = torch.arange(3.0)
    value = {
        "expanded": row.expand(400, 3),
        "shared": [row, row[1:], row, nn.Parameter(torch.ones(2)), torch.empty(0), torch.empty(0)],
        "many": [torch.zeros(1_000_000)[:]] * 4,
        "plain": (1, 2.5, None, True, "a", b"b", {3: []}),
    }
    torch.save(value, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="are there"):
        read_torch(tmp_path / "a.pt")
    torch.save(readable(value), tmp_path / "a.pt")
    found = read_torch(tmp_path / "a.pt")
    assert found["plain"] == value["plain"]
    assert torch.equal(found["expanded"], row.expand(400, 3))
    for name in ("shared", "many"):
        assert all(map(torch.equal, found[name], value[name]))
    assert row.data_ptr() == readable([row])[0].data_ptr()  # nothing else is copied


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(2, dtype=torch.uint16),
        torch.zeros(2, dtype=torch.complex64),
        torch.eye(2).to_sparse(),
        np.float64(1),
        {(1, 2): 3},
        torch.float32,
    ],
    ids=str,
)
def test_what_cannot_be_read_is_not_saved(tmp_path: Path, value: object) -> None:
    torch.save({"a": value}, tmp_path / "a.pt")
    with contextlib.suppress(ValueError):
        assert not same(read_torch(tmp_path / "a.pt"), {"a": value})
    with pytest.raises(TypeError, match="cannot be saved; keep"):
        readable({"a": [value]})


def test_metadata_of_safetensors_are_read_within_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"a": torch.zeros(2)}, {"step": "5"}))
    assert read_metadata(path) == {"step": "5"}
    path.write_bytes(save({"a": torch.zeros(2)}))
    assert read_metadata(path) == {}
    for content in (b"", b"\xff" * 8, (2**25).to_bytes(8, "little"), (9).to_bytes(8, "little") + b"{"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"damaged: |at most 16,777,216 are read"):
            read_metadata(path)


def test_parameters_that_are_used_twice_are_written_for_each_name(tmp_path: Path) -> None:
    """As of CoaT, whose blocks share convolutions; safetensors refuses tensors that share their memory."""
    whole = torch.arange(12.0).reshape(3, 4)
    tensors = {"a": whole, "same": whole, "view": whole[1:], "turned": whole.T, "parameter": nn.Parameter(whole)}
    (tmp_path / "a.safetensors").write_bytes(safetensors_bytes(tensors, {"about": "text"}))
    found = read_safetensors(tmp_path / "a.safetensors")
    assert list(found) == sorted(tensors) and all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert read_metadata(tmp_path / "a.safetensors")["about"] == "text"
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    (tmp_path / "b.safetensors").write_bytes(safetensors_bytes(net.state_dict()))
    again = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    again[1].weight = again[0].weight
    again.load_state_dict(read_safetensors(tmp_path / "b.safetensors"))
    assert torch.equal(again[1].weight, net[0].weight)
