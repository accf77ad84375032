"""What this machine has: limits of control groups, and the cores of a local master."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil
import pytest

from mapring import machine


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_limits_of_all_groups_above_count(tmp_path: Path) -> None:
    put(tmp_path, "memory.max", "max\n")
    put(tmp_path, "pod/memory.max", "4000\n")
    put(tmp_path, "pod/box/memory.max", "9000\n")
    assert list(machine.cgroup_limits("0::/pod/box\n", tmp_path)) == [4000, 9000]


def test_groups_of_version_1_have_a_folder_for_memory(tmp_path: Path) -> None:
    put(tmp_path, "memory/memory.limit_in_bytes", "9223372036854771712\n")
    put(tmp_path, "memory/box/memory.limit_in_bytes", "5000\n")
    own = "9:name=systemd:/\n4:cpu,memory:/box\n1:cpu:/other\n0::/\n"
    assert list(machine.cgroup_limits(own, tmp_path)) == [9223372036854771712, 5000]


def test_a_container_that_does_not_see_its_own_path_finds_its_limit_at_the_root(tmp_path: Path) -> None:
    put(tmp_path, "memory.max", "7000")
    assert list(machine.cgroup_limits("0::/../host/path\n", tmp_path)) == [7000]
    assert list(machine.cgroup_limits("", tmp_path)) == []


def test_the_least_limit_is_this_process_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    total = psutil.virtual_memory().total
    assert 0 < machine.memory_limit() <= total
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "none")
    assert machine.memory_limit() == total
    put(tmp_path, "own", "0::/\n")
    put(tmp_path, "memory.max", "123456\n")
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "own")
    assert machine.memory_limit() == 123456


@pytest.mark.parametrize(
    ("master", "expected"),
    [("local", 1), ("local[3]", 3), ("local[3,4]", 3), ("yarn", None), ("local-cluster[2,1,1024]", None), ("", None)],
)
def test_only_a_local_master_takes_cores_here(master: str, expected: int | None) -> None:
    assert machine.local_cores(master) == expected
    assert machine.local_cores("local[*]") == machine.local_cores("local[*,4]") == len(os.sched_getaffinity(0))


def test_of_the_cpu_only_what_multiplies_matrices_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = "fpu amx_int8 avx512f avx2 avx512_vnni mmx"
    put(tmp_path, "cpuinfo", f"processor\t: 0\nmodel name\t: X\nflags\t\t: {flags}\nbugs\t: avx_vnni\n")
    monkeypatch.setattr(machine, "_CPUS", tmp_path / "cpuinfo")
    assert machine.cpu_features() == [platform.machine(), "avx2", "avx512f", "avx512_vnni", "amx_int8"]
    put(tmp_path, "arm", "processor\t: 0\nFeatures\t: fp asimddp i8mm\n")
    monkeypatch.setattr(machine, "_CPUS", tmp_path / "arm")
    assert machine.cpu_features() == [platform.machine(), "asimddp", "i8mm"]
    monkeypatch.setattr(machine, "_CPUS", tmp_path / "none")
    assert machine.cpu_features() == [platform.machine()]
