"""Tensors as a pickle describes them, compared with the numbers that there are before one is made."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from plopkit.support.pickled import Call, Global, Persistent
from plopkit.support.printable import one_line

if TYPE_CHECKING:
    from torch import Tensor

DEEPEST = 50
STORAGES = {
    **{"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16"},
    **{"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8"},
    **{"ByteStorage": "uint8", "BoolStorage": "bool"},
}
REBUILD, PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"


class Storage(NamedTuple):
    """The numbers behind one tensor, or several."""

    key: str
    dtype: str
    n_bytes: int


Read = Callable[[Storage], "Tensor"]


def width_of(dtype: str) -> int:
    import torch

    return getattr(torch, dtype).itemsize


class Tensors:
    """Makes tensors of the calls that a pickle has noted.

    Args:
        size: Bytes of the file; all tensors together have at most twice as many.
        read: Gives the bytes of a storage.
    """

    def __init__(self, size: int, read: Read):
        self._read = read
        self._storages: dict[str, Tensor] = {}
        self._left = 2 * size + 2**20

    def expected(self, value: Any) -> dict[str, Storage]:
        """The storages that a value needs, by key."""
        found: dict[str, Storage] = {}

        def note(storage: Storage) -> None:
            if found.setdefault(storage.key, storage) != storage:
                raise ValueError(f"damaged: two sizes of one tensor ({one_line(storage.key, 40)})")

        self._walk(value, lambda call: note(self._described(call)[0]))
        return found

    def resolved(self, value: Any) -> Any:
        """The value with its tensors."""
        return self._walk(value, self._tensor)

    def _walk(self, value: Any, visit: Callable[[Call], Any]) -> Any:
        seen: dict[int, Any] = {}

        def walk(item: Any, depth: int) -> Any:
            if not isinstance(item, dict | list | tuple | Call):
                return item
            if depth > DEEPEST:
                raise ValueError(f"its values are nested more than {DEEPEST} levels deep")
            if id(item) not in seen:  # what is there twice is made once: a few nested lists can mean billions
                seen[id(item)] = None
                seen[id(item)] = inner(item, depth + 1)
            return seen[id(item)]

        def inner(item: Any, depth: int) -> Any:
            if isinstance(item, dict):
                return {key: walk(part, depth) for key, part in item.items()}
            if isinstance(item, list | tuple):
                return type(item)([walk(part, depth) for part in item])
            if item.function == PARAMETER and item.arguments:
                return walk(item.arguments[0], depth)
            return visit(item) if item.function == REBUILD else item

        return walk(value, 0)

    def _tensor(self, call: Call) -> "Tensor":
        import torch

        storage, offset, shape, stride = self._described(call)
        if storage.key not in self._storages:
            self._storages[storage.key] = self._read(storage)
        flat = self._storages[storage.key].view(getattr(torch, storage.dtype))
        self._left -= math.prod(shape) * flat.itemsize
        if self._left < 0:
            raise ValueError("its tensors share their numbers, and together they are larger than the file")
        return flat.as_strided(shape, stride, offset)

    def _described(self, call: Call) -> tuple[Storage, int, tuple[int, ...], tuple[int, ...]]:
        """Storage, offset, shape and strides of a tensor, checked against each other."""
        try:
            persistent, offset, shape, stride, *_ = call.arguments
            storage = self._storage(persistent)
            numbers = (offset, *shape, *stride)
            plain = all(type(number) is int and 0 <= number < 2**62 for number in numbers)
            if not plain or len(shape) != len(stride) or len(shape) > 20:
                raise TypeError
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise ValueError("damaged: a tensor that is described in another way than torch.save does") from error
        n_held = storage.n_bytes // width_of(storage.dtype)
        count = math.prod(shape)
        last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True)) if count else 0
        if count > n_held or (count and last >= n_held):
            raise ValueError(
                f"a tensor of {'x'.join(map(str, shape))} numbers is described over {n_held:,} numbers that are there"
            )
        return storage, offset, tuple(shape), tuple(stride)

    def _storage(self, persistent: Any) -> Storage:
        if not isinstance(persistent, Persistent):
            raise TypeError
        kind, storage, key, _, count, *_ = persistent.key
        if kind != "storage" or not isinstance(storage, Global) or not isinstance(key, str) or type(count) is not int:
            raise TypeError
        dtype = STORAGES[storage.name.removeprefix("torch.")]
        if not 0 <= count < 2**62:
            raise TypeError
        return Storage(key, dtype, count * width_of(dtype))
