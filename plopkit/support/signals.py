"""Signals that ask a process to end: held back while an iteration is under way, then passed on to whom they belong."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

SIGNALS = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGINT", "SIGTERM") if hasattr(signal, name))
"""A closed terminal, Ctrl-C, and what `kill`, Slurm, Docker and systemd send."""
ENDINGS = tuple(number for number in SIGNALS if number != signal.SIGINT)
"""Those whose senders kill the process half a minute later if it is still there."""
PATIENCE = 15.0
"""Seconds that an iteration may still take after one of `ENDINGS`."""
SAME_PRESS = 1.0
"""Seconds in which a second SIGINT is the same one: both terminal and launcher pass it on."""


class Terminated(SystemExit):
    """The process was asked to end; its exit code is 128 + the signal's number, 143 for SIGTERM."""

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


class Terminator:
    """A signal handler that ends the process as an error does: files are closed, and locks released.

    An exception that a handler raises can be lost: in a `__del__`, which swallows it, or where another error follows,
    such as torch's about the workers that the same signal has ended. `received` stays.
    """

    def __init__(self) -> None:
        self.received = 0
        """The number of the last signal, or 0."""

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        self.received = number
        raise Terminated(number)


terminate = Terminator()
"""The handler of `terminating`."""


@contextlib.contextmanager
def terminating() -> Iterator[None]:
    """Let the signals of `ENDINGS` raise `Terminated` inside the context, where they would end the process at once.

    Other handlers stay. Without effect outside the main thread, the only one that may install handlers, and inside
    another such context.

    Raises:
        Terminated: at the end at the latest, whatever other error it has led to.
    """
    own = [number for number in ENDINGS if signal.getsignal(number) is signal.SIG_DFL] if _in_main_thread() else []
    if not own:
        yield
        return
    terminate.received = 0
    for number in own:
        signal.signal(number, terminate)
    try:
        yield
    except Terminated:
        raise
    except BaseException as error:
        if terminate.received:
            raise Terminated(terminate.received) from error
        raise
    else:
        if terminate.received:
            raise Terminated(terminate.received)
    finally:
        terminate.received = 0
        for number in own:
            signal.signal(number, signal.SIG_DFL)


class HeldSignals:
    """Signals that arrive in an iteration are held back until it is over.

    Handlers are in place only inside `held`, and never outside the main thread; ignored signals stay ignored. Python
    runs a handler between two instructions, and a backward pass is a single one, however long it takes: a thread hears
    of the signal at once, and ends the process if the iteration is not over after `PATIENCE`.

    Args:
        leave: called by that thread before it ends the process.
    """

    def __init__(self, leave: Callable[[], None]):
        self.received = 0
        """The number of the signal that is held back, or 0."""
        self._leave = leave
        self._handlers: dict[int, Any] = {}
        self._received_at = 0.0
        self._over = threading.Event()
        self._ends: tuple[socket.socket, socket.socket] | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold signals back inside the context."""
        if not _in_main_thread():
            yield
            return
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        self._handlers = {number: h for number, h in handlers.items() if h not in (None, signal.SIG_IGN)}
        self._over.clear()
        before = signal.set_wakeup_fd(self._writing_end().fileno(), warn_on_full_buffer=False)
        for number in self._handlers:
            signal.signal(number, self._receive)
        try:
            yield
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            self._over.set()

    def deliver(self, number: int = 0) -> None:
        """Pass on a signal, by default the one that is held back, to the handler that it had before.

        Returns where there is none, or the handler returns: most raise an exception or end the process.
        """
        number, self.received = number or self.received, 0
        if number:
            signal.raise_signal(number)

    def close(self) -> None:
        """End the thread, and pass on what is held back."""
        if self._ends is not None:
            for end in self._ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self._ends = None
        self.deliver()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        again = self.received == number == signal.SIGINT and time.monotonic() - self._received_at > SAME_PRESS
        if again and callable(handler := self._handlers[number]):
            handler(number, frame)  # pressed again: do not wait for the iteration
        if not self.received:
            self._received_at = time.monotonic()
        self.received = max(self.received, number)

    def _writing_end(self) -> socket.socket:
        """Where Python's own C handler writes the number of each signal; starts the thread that reads it."""
        if self._ends is None:
            reading, writing = self._ends = socket.socketpair()
            writing.setblocking(False)
            threading.Thread(target=self._watch, args=(reading,), name="plopkit signals", daemon=True).start()
        return self._ends[1]

    def _watch(self, reading: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed
            while content := reading.recv(1):
                number = content[0]
                ours = self._handlers.get(number) in (signal.SIG_DFL, terminate)
                if number in ENDINGS and ours and not self._over.wait(PATIENCE):
                    self._end(number)

    def _end(self, number: int) -> NoReturn:
        """End the process from this thread, since the main one does not return."""
        name = signal.Signals(number).name
        try:
            self._leave()
            print(f"\nplopkit: ended by {name}; the iteration under way is lost", file=sys.stderr, flush=True)
        except BaseException as error:
            print(f"\nplopkit: ended by {name}; nothing more was saved: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(128 + number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
