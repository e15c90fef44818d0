"""Freed memory stays with the process, also for a thread that trains."""

import json
import platform
import subprocess
import sys
import textwrap

import pytest

from plopkit.support import heap

PROGRAM = """
    import json, resource, threading
    import torch
    from plopkit.support.heap import keep_freed_memory

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**24)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    def least() -> int:
        return min(faults() for _ in range(8))  # the first ones grow the heap

    torch.set_num_threads(1)
    counts = [least()]
    assert keep_freed_memory()
    counts.append(least())
    thread = threading.Thread(target=lambda: counts.append(least()))
    thread.start()
    thread.join()
    print(json.dumps(counts))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told to keep memory")
def test_a_block_freed_and_asked_for_again_has_its_pages() -> None:
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    for _ in range(5):  # a thread may get the heap of one that a library began at its import
        done = subprocess.run(program, check=True, capture_output=True, text=True)
        fresh, kept, in_a_thread = json.loads(done.stdout)
        assert fresh >= 32  # 64 MB in pages of 2 MB; in pages of 4 kB they are 16,384
        if in_a_thread < 32:
            break
    assert kept < 32 and in_a_thread < 32


def test_another_libc_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.delattr(heap.ctypes, "CDLL")
    assert not heap.keep_freed_memory()
