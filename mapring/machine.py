"""What this machine has: memory that this process may use, cores that a local Spark takes."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_CPUS = Path("/proc/cpuinfo")
_EXTENSIONS = (
    *("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    *("asimddp", "i8mm", "bf16", "sve"),
)
LOCAL_MASTER = re.compile(r"local(?:\[(\*|\d+)(?:,(\d+))?\])?")  # its cores, and attempts at each task


def memory_limit() -> int:
    """Bytes of memory for this process and its children: the machine's, or less where a control group says so."""
    limits = [psutil.virtual_memory().total]
    if _OWN_CGROUPS.exists():
        limits += cgroup_limits(_OWN_CGROUPS.read_text(), _CGROUPS)
    return min(limits)


def cgroup_limits(own: str, root: Path) -> Iterator[int]:
    """Memory limits in bytes of the control groups that a process is in, and of those above them.

    Args:
        own: content of /proc/self/cgroup; version 2 has one line `0::PATH`, version 1 one for each controller.
        root: where control groups are mounted.
    """
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            place, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            place, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container the path may be that of the host; the group's files then stand at the root.
        parts = [part for part in path.split("/") if part and part != ".."]
        for depth in range(len(parts) + 1):
            yield from _limit(place.joinpath(*parts[:depth], name))


def _limit(file: Path) -> Iterator[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return
    if text.isdigit():  # else "max"
        yield int(text)


def cpu_features() -> list[str]:
    """The architecture, and of its extensions those that decide how fast and in what precision matrices multiply."""
    text = _CPUS.read_text() if _CPUS.exists() else ""
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    present = set(flags.group(1).split()) if flags is not None else set()
    return [platform.machine(), *(name for name in _EXTENSIONS if name in present)]


def local_cores(master: str) -> int | None:
    """Cores that a Spark master URL takes of this machine; None where tasks run in other processes than the driver."""
    found = LOCAL_MASTER.fullmatch(master)
    if found is None:
        return None
    count = found.group(1) or "1"
    return len(os.sched_getaffinity(0)) if count == "*" else int(count)
