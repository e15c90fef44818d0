"""Contenders in processes of their own, which still take turns: each has its own heap and its own settings.

What plopkit asks of the memory allocator holds for a whole process, and would serve the reference in it as well.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import torch

from benchmarks.timing import Contender


@contextmanager
def apart() -> Iterator[Callable[..., Contender]]:
    """Starts contenders in processes that end with the context.

    ``start(make, *arguments)`` calls ``make(*arguments)`` in a new process, and the contender that it returns there
    whenever this one is called; both are module-level functions and plain values.
    """
    context = multiprocessing.get_context("spawn")
    started: list[tuple[Any, Connection]] = []

    def start(make: Callable[..., Contender], *arguments: Any) -> Contender:
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, torch.get_num_threads(), make, arguments), daemon=True)
        process.start()
        there.close()  # so that the end of the process is noticed
        started.append((process, here))
        _answer(here)

        def work() -> Any:
            here.send(True)
            return _answer(here)

        return work

    try:
        yield start
    finally:
        for process, here in started:
            here.close()
            process.join(10)
            process.terminate()


def _answer(connection: Connection) -> Any:
    answer = connection.recv()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _serve(connection: Connection, threads: int, make: Callable[..., Contender], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(threads)
    try:
        work = make(*arguments)
        connection.send(None)
        while True:
            connection.recv()
            connection.send(work())
    except EOFError:  # the other side has closed
        return
    except Exception as error:
        connection.send(error)
