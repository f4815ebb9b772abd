"""How the C library treats memory that a tape has freed.

A tape frees megabytes when its outputs die, and the next update asks for as many. glibc returns
the end of its heap to the system whenever 128 KB of it are free, and the system hands the pages
out again one by one, each filled with zeros first: an update of an LSTM of 128 (batch 32, 50
steps, recorded op by op) then takes 5,900 page faults, and 36 ms where it takes 21 without them.

The thresholds belong to the whole process, so importing unspool leaves them as they are. The
command line sets them once; ``fit`` sets them for as long as it trains.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT = 256 << 20  # bytes free at the end of the heap before they are returned
LARGEST = 32 << 20  # bytes of a block that the heap serves; glibc allows no more
# glibc's thresholds grow with the arrays that a program frees until somebody sets them: what is
# set afterwards is what they are in a program that has freed an array of 4 MB.
AFTERWARDS = {M_MMAP_THRESHOLD: 4 << 20, M_TRIM_THRESHOLD: 8 << 20}

lock = threading.Lock()
users = 0  # how many blocks of freed_memory_kept, or calls of keep_freed_memory, are in force


@functools.cache
def glibc() -> Any:
    """glibc, where its thresholds are ours to set; else None.

    Thresholds set in the environment (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_``,
    ``GLIBC_TUNABLES``) are the user's choice; another C library has none.
    """
    chosen = any(os.environ.get(f"MALLOC_{name}_THRESHOLD_") for name in ("TRIM", "MMAP"))
    if chosen or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", ""):
        return None
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes
    except ImportError:  # a Python that was built without it
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None  # musl's mallopt does nothing


def keep_freed_memory() -> bool:
    """Let this process keep up to 256 MB of freed memory for the next tape, from now on.

    Worth calling at the start of a program that does little but train. Returns whether it was
    done: only glibc has such thresholds, and those set in the environment stay.

    Source: mallopt(3).
    """
    global users
    libc = glibc()
    if libc is None:
        return False
    with lock:
        users += 1
        return bool(
            libc.mallopt(M_MMAP_THRESHOLD, LARGEST) and libc.mallopt(M_TRIM_THRESHOLD, KEPT)
        )


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[bool]:
    """``keep_freed_memory`` for the time of a block; what is free at its end is returned.

    Example:
        >>> from unspool.autograd import freed_memory_kept
        >>> with freed_memory_kept():
        ...     pass  # train
    """
    global users
    done = keep_freed_memory()
    try:
        yield done
    finally:
        if done:
            with lock:
                users -= 1
                if not users:
                    for threshold, size in AFTERWARDS.items():
                        glibc().mallopt(threshold, size)
                    glibc().malloc_trim(0)
