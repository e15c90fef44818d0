"""Freed memory that stays with the process, so that an iteration's maps find the pages of the last iteration's."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
"""Numbers of these parameters in glibc's malloc.h."""


def keep_freed_memory() -> bool:
    """Make glibc's malloc keep what is freed, for the rest of this process; returns whether it does.

    By itself malloc returns every freed block of more than 32 MB to the kernel, and each page of the next one is
    cleared when it is first touched: half a million page faults in an iteration of ResNet-101 on two crops of 512
    pixels. After this call all blocks come from one heap that never shrinks: the process stays as large as it was at
    its peak. Processes that are forked later, such as those that load images, inherit this for their own small blocks.

    It does nothing without glibc (macOS, Windows, musl). It has no effect where another allocator replaces glibc's
    malloc (jemalloc, tcmalloc or mimalloc, preloaded), nor on a GPU's memory, nor on threads that began before the
    call, which have heaps of their own for blocks of up to 64 MB: call it before the thread that trains begins.

    Source: mallopt(3).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1), mallopt(M_ARENA_MAX, 1)])
