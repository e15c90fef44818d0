"""Files of `torch.save` and safetensors from anywhere: no code is run, and no memory taken for what they do not hold.

Both formats of `torch.save` are read: the zip archive, and the sequence of pickles before torch 1.6, in which ImageNet
weights of 2018 still come. Every tensor is compared with the bytes that the file really holds before one is made.
"""

import errno
import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plopkit.support.described import PARAMETER, REBUILD, STORAGES, Storage, Tensors, width_of
from plopkit.support.pickled import read_pickle
from plopkit.support.printable import one_line

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_PICKLE = 2**26
LARGEST_LINE = 2**16
LARGEST_HEADER = 2**24
"""Bytes of safetensors' list of tensors: that of a ResNet-101 has 70,000."""
OLD_MAGIC = 0x1950A86A20F9469CFC6C
HARMLESS = {
    *(REBUILD, PARAMETER, "collections.OrderedDict", "collections.Counter", "collections.defaultdict"),
    *("torch.Size", "torch.device", "_codecs.encode", "numpy.dtype", "builtins.set", "__builtin__.set"),
    *("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),  # the released code's best score
    *(f"torch.{name}" for name in STORAGES),
    *(f"numpy.dtypes.{name}DType" for name in ("Float64", "Float32")),
}
"""What a checkpoint may name. Only tensors are made; other calls are left as notes."""


def read_torch(path: Path) -> Any:
    """What `torch.save` has written: tensors, texts, numbers and truth values in dictionaries, lists and tuples.

    Tensors come to the CPU. What else a checkpoint may hold, such as a score as a number of numpy, is left as a
    `plopkit.support.pickled.Call`: it is not computed.

    Args:
        path: A plain file.

    Raises:
        ValueError: It is damaged, asks for code to be run, or describes more than it holds; says what, not which file.
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        if file.read(4) == b"PK\x03\x04":
            return _read_zip(file)
        file.seek(0)
        return _read_old(file)


def readable(value: Any) -> Any:
    """The value as `torch.save` has to write it, so that `read_torch` gives it back.

    Each tensor has numbers of its own: one that is expanded, or shares them with an earlier one, is copied.

    Raises:
        TypeError: It holds something that `read_torch` does not read.
    """
    return _readable(value, set())


def _readable(value: Any, storages: set[int]) -> Any:
    from torch import Tensor, strided

    if isinstance(value, Tensor):
        if value.layout is not strided or str(value.dtype).removeprefix("torch.") not in STORAGES.values():
            raise TypeError(f"a tensor of {value.dtype} ({value.layout}) cannot be saved; keep its numbers as float32")
        expanded = any(step == 0 and length > 1 for step, length in zip(value.stride(), value.shape, strict=True))
        if expanded or value.untyped_storage().data_ptr() in storages:
            value = value.clone().contiguous()
        storages.add(value.untyped_storage().data_ptr())
        return value.detach()
    if isinstance(value, Mapping) and all(isinstance(key, str | int | float) for key in value):
        return {key: _readable(part, storages) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_readable(part, storages) for part in value)
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    raise TypeError(f"{type(value)} cannot be saved; keep it as a tensor, a number or a text")


def read_safetensors(path: Path) -> "dict[str, Tensor]":
    """The tensors of a safetensors file; errors as for `read_torch`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check_header(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"damaged: {one_line(error)}") from error


def read_metadata(path: Path) -> dict[str, str]:
    """The texts by name that a safetensors file holds next to its tensors; errors as for `read_torch`."""
    from safetensors import SafetensorError, safe_open

    _check_header(path)
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"damaged: {one_line(error)}") from error


def read_one(path: Path, name: str) -> bytes | None:
    """The bytes of one tensor of a safetensors file, without reading the others, and without torch; None without it.

    Errors as for `read_torch`.
    """
    from safetensors import SafetensorError, safe_open

    _check_header(path)
    try:
        with safe_open(path, "numpy") as file:
            return file.get_tensor(name).tobytes() if name in file.keys() else None  # noqa: SIM118  (no dictionary)
    except SafetensorError as error:
        raise ValueError(f"damaged: {one_line(error)}") from error


def _check_header(path: Path) -> None:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise ValueError(f"its list of tensors would have {length:,} bytes; at most {LARGEST_HEADER:,} are read")


def _read_zip(file: io.BufferedIOBase) -> Any:
    size = file.seek(0, io.SEEK_END)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ValueError("its entries are compressed, as torch never does; save it by torch.save again")
            if sum(entry.file_size for entry in entries) > size:
                raise ValueError("its entries overlap: together they are larger than the file")
            pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise ValueError("a zip archive, but not one of torch.save: there is no data.pkl in it")
            folder = pickles[0].filename.removesuffix("data.pkl")
            by_key = {entry.filename.removeprefix(f"{folder}data/"): entry for entry in entries}
            order = by_key.get(f"{folder}byteorder")
            if order and archive.read(order).strip() != b"little":
                raise ValueError("its numbers are big-endian; save it on a machine with the usual byte order")

            def read(storage: Storage) -> "Tensor":
                entry = by_key.get(storage.key)
                if entry is None or entry.file_size != storage.n_bytes:
                    found = "no such entry" if entry is None else f"{entry.file_size:,}"
                    raise ValueError(f"a tensor needs {storage.n_bytes:,} bytes, but the file holds {found}")
                with archive.open(entry) as opened:
                    return _filled(storage.n_bytes, opened)

            return Tensors(size, read).resolved(_read_pickle(io.BytesIO(_limited(archive, pickles[0]))))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, struct.error, OverflowError) as error:
        raise ValueError(f"damaged: {one_line(error)}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ValueError("damaged: an entry begins before the file does") from error


def _limited(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.file_size > LARGEST_PICKLE:
        raise ValueError(f"its pickle has {entry.file_size:,} bytes; at most {LARGEST_PICKLE:,} are read")
    return archive.read(entry)


def _read_old(file: io.BufferedIOBase) -> Any:
    """The sequence: a magic number, a version, the machine, the value, the keys of its storages, their numbers."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    pickles = _Pickles(file, size)
    if read_pickle(pickles, lambda name: False) != OLD_MAGIC:
        raise ValueError("not a file of torch.save")
    read_pickle(pickles, lambda name: False)
    machine = read_pickle(pickles, lambda name: False)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("its numbers are big-endian; save it on a machine with the usual byte order")
    value = _read_pickle(pickles)
    keys = read_pickle(pickles, lambda name: False)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("damaged: it does not say what it holds")
    tensors = Tensors(size, lambda storage: storages[storage.key])
    expected = tensors.expected(value)
    storages: dict[str, Tensor] = {}
    for key in keys:
        if key not in expected or key in storages:
            raise ValueError(f"damaged: it holds numbers of no tensor ({one_line(key, 40)})")
        count = int.from_bytes(file.read(8), "little")
        storage = expected[key]
        if count * width_of(storage.dtype) != storage.n_bytes or size - file.tell() < storage.n_bytes:
            raise ValueError(f"a tensor needs {storage.n_bytes:,} bytes, which the file does not hold")
        storages[key] = _filled(storage.n_bytes, file)
    if missing := expected.keys() - storages.keys():
        raise ValueError(f"damaged: the numbers of {len(missing)} tensors are missing")
    return tensors.resolved(value)


class _Pickles(io.BufferedIOBase):
    """Pickles in a file, of which no more is read at once than there is: a length in them may be any number."""

    def __init__(self, file: io.BufferedIOBase, size: int):
        self._file, self._size = file, size

    def read(self, size: int | None = -1, /) -> bytes:
        most = min(self._size - self._file.tell(), LARGEST_PICKLE)
        return self._file.read(most if size is None or size < 0 else min(size, most))

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._file.readline(LARGEST_LINE)

    def tell(self) -> int:
        return self._file.tell()


def _read_pickle(file: io.BufferedIOBase) -> Any:
    return read_pickle(file, HARMLESS.__contains__)


def _filled(n_bytes: int, file: Any) -> "Tensor":
    """As many bytes of a file, in memory as torch aligns it."""
    import torch

    storage = torch.empty(n_bytes, dtype=torch.uint8)
    view, place = storage.numpy().data, 0
    while place < n_bytes:
        count = file.readinto(view[place:])
        if not count:
            raise EOFError("it ends in the middle of a tensor")
        place += count
    if file.read(1) if isinstance(file, zipfile.ZipExtFile) else False:
        raise EOFError("an entry is longer than it says")
    return storage


def safetensors_bytes(tensors: "Mapping[str, Tensor]", about: Mapping[str, str] | None = None) -> bytes:
    """The content of a file of safetensors: tensors by name, on the CPU, and texts about them.

    Parameters that a network uses in several places, such as those of CoaT's blocks, are written once for each name.
    """
    from safetensors.torch import save

    places, apart = set[int](), {}
    for name, tensor in tensors.items():
        kept = tensor.detach().cpu().contiguous()
        place = kept.untyped_storage().data_ptr()
        apart[name] = kept.clone() if place in places else kept
        places.add(place)
    return save(apart, dict(about) if about else None)


def tensors_of(value: Any) -> "Mapping[str, Tensor] | None":
    """The value, if it is a dictionary of tensors by name and not empty; else None."""
    from torch import Tensor

    is_state = isinstance(value, Mapping) and value and all(isinstance(part, Tensor) for part in value.values())
    return value if is_state and all(isinstance(key, str) for key in value) else None
