"""What a machine may lack for a run: memory, shared memory, files. The errors name the settings to change."""

import contextlib
import errno
import functools
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

from plopkit.settings import Settings
from plopkit.support.printable import one_line

Method = TypeVar("Method", bound=Callable[..., Iterator[Any]])

SHARED = "/dev/shm"


class ResourceError(OSError):
    """The machine lacks something that a run with these settings needs; the message says what to change."""


_MEMORY = re.compile(
    r"out of memory|DefaultCPUAllocator|can't allocate memory|not enough memory|Cannot allocate memory"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|bad_alloc",
    re.IGNORECASE,
)
_SHARED = re.compile(r"Bus error|shared memory|\bshm\b|</torch_\d+", re.IGNORECASE)
_WORKER = re.compile(r"DataLoader worker \(pid")


@contextlib.contextmanager
def resources_explained(settings: Settings) -> Iterator[None]:
    """Within it, what the machine lacks becomes a `ResourceError`; other errors stay as they are.

    Args:
        settings: Those of the run, whose present values the message names.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        advice = advice_on(error, settings)
        if advice is None:
            raise
        raise ResourceError(advice) from error


def explaining_resources(generator: Method) -> Method:
    """A method that is a generator, of an object with `settings`, within `resources_explained`."""

    @functools.wraps(generator)
    def within(self: Any, *args: Any, **named: Any) -> Generator[Any, Any, Any]:
        with resources_explained(self.settings):
            return (yield from generator(self, *args, **named))

    return within  # type: ignore[return-value]


def explained(error: BaseException) -> str | None:
    """What a user should read about an error; None for a mistake of plopkit's own, whose traceback is needed.

    Expected are wrong words, settings and files (ValueError), missing files, full disks and networks (OSError), a
    training that diverges (FloatingPointError), and what `advice_on` knows.
    """
    if advice := advice_on(error):
        return advice
    expected = isinstance(error, ValueError | OSError | FloatingPointError)
    return (str(error) or type(error).__name__) if expected else None


def advice_on(error: BaseException, settings: Settings | None = None) -> str | None:
    """What to do about an error, if a lack of the machine caused it; else None.

    Args:
        error: The error.
        settings: Those of the run, where there is one.
    """
    if isinstance(error, ResourceError):
        return None
    words = one_line(str(error).strip().split("\n")[0] or type(error).__name__, 300)
    workers = "" if settings is None else f" (now {settings.compute.workers})"
    loaded_here = "0 loads the images in the training process"
    if isinstance(error, RuntimeError) and _SHARED.search(str(error)) and not _MEMORY.search(str(error)):
        return (
            f"{SHARED} is too small for the batches of the processes that load images, {_free(SHARED)} ({words}); "
            f"enlarge it (docker run --shm-size=2g), or lower compute.workers{workers}: {loaded_here}"
        )
    if isinstance(error, RuntimeError) and _WORKER.search(str(error)):
        return (
            f"a process that loads images was ended from outside ({words}), mostly because the machine's memory was "
            f"full; lower compute.workers{workers}: {loaded_here}, and the run goes on where it was"
        )
    if isinstance(error, RuntimeError) and "Too many open files" in str(error):
        return f"too many open files ({words}); raise the limit (ulimit -n), or lower compute.workers{workers}"
    if is_memory(error):
        return f"not enough memory ({words}); {_less_memory(settings)}"
    return None


def is_memory(error: BaseException) -> bool:
    """Whether memory is lacking, of the machine or of a GPU."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and _MEMORY.search(str(error)) is not None


def _less_memory(settings: Settings | None) -> str:
    if settings is None:
        return "close other programs, or use a machine with more"
    optim, compute = settings.optim, settings.compute
    parts = "the whole batch at once" if compute.micro_batch is None else compute.micro_batch
    loading = f", and compute.workers (now {compute.workers})" if compute.workers else ""
    return (
        f"lower data.size (now {settings.data.size}), optim.batch (now {optim.batch}) or compute.micro_batch (now "
        f"{parts}), set compute.precision to bf16 (now {compute.precision}){loading}, or take a smaller model.encoder "
        f"(now {settings.model.encoder})"
    )


def _free(folder: str) -> str:
    try:
        return f"{shutil.disk_usage(folder).free // 2**20:,} MiB of it are free"
    except OSError:
        return "and it cannot be looked at"
