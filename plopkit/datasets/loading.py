"""A loader whose worker processes fail as the training process would: with the file's own message."""

import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, get_worker_info


class Failure:
    """An error in a worker, on its way to the training process.

    torch would raise an error of the same type there, whose message is the worker's whole traceback.
    """

    def __init__(self, error: Exception):
        error.add_note("In a process that loads images:\n" + "".join(traceback.format_exception(error)))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # it needs more than its message to be made
            error = RuntimeError(f"{type(error).__name__}: {error}")
        self.error = error.with_traceback(None)
        self.error.__cause__ = self.error.__context__ = None


def failing_softly(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which gives a `Failure` where it fails in a worker; in the training process it raises."""

    def guarded(*args: Any) -> Any:
        if get_worker_info() is None:
            return function(*args)
        try:
            return function(*args)
        except Exception as error:
            return Failure(error)

    return guarded


class ImageLoader(DataLoader):
    """A `DataLoader` that raises what a worker's `Failure` holds. `collate_fn` passes failures on."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, Failure):
                raise batch.error
            yield batch
