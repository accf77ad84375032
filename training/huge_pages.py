"""Memory in huge pages, which a process has to ask for before it begins.

A step of training walks through some gigabyte of memory. In pages of 4 KiB the processor looks up a new one every few
hundred values; huge ones have 2 MiB. The C library asks Linux for them, and keeps for the next step what one step has
freed, where its tunables say so; it reads these when a process starts, and never again.
"""

from __future__ import annotations

import os
import platform
import sys

_NAME = "GLIBC_TUNABLES"
# On 2 ranks of a small encoder, processor time of a step: 818 ms without, 781 with huge pages alone, for the kernel had
# to clear 280 MB of them in each step, and 731 with all four.
_TUNABLES = {
    "glibc.malloc.hugetlb": 1,  # advise the kernel to use transparent huge pages
    "glibc.malloc.mmap_max": 0,  # large blocks come from the heap, which is kept, not from maps of their own
    "glibc.malloc.trim_threshold": 1 << 40,  # bytes: never give back the heap's end
    "glibc.malloc.top_pad": 64 << 20,  # bytes by which the heap grows
}


_TOLD = ":".join(f"{name}={value}" for name, value in _TUNABLES.items())


def begin_with_huge_pages() -> None:
    """Start this process anew, with the same arguments, once; to be called before anything large is imported.

    Where the user has set GLIBC_TUNABLES it stays as it is, and other C libraries than glibc know none. Processes that
    this one starts are not told.
    """
    if os.environ.get(_NAME) == _TOLD:
        del os.environ[_NAME]
    elif _NAME not in os.environ and platform.libc_ver()[0] == "glibc":
        os.environ[_NAME] = _TOLD
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
