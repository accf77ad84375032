"""Local copies of remote directories: whole, one for each version, and nothing left of a race or a failure."""

from __future__ import annotations

from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from mapring import local_copies, storage
from mapring.errors import InputError


@pytest.mark.parametrize("is_remote", [True, False])
def test_localize_copies_what_is_remote_and_points_at_what_is_local(tmp_path: Path, is_remote: bool) -> None:
    base = f"memory://{tmp_path.name}" if is_remote else str(tmp_path)
    storage.create(storage.join(base, "model/config.json"), b"{}")
    local = local_copies.localize(storage.join(base, "model"), tmp_path / "cache")
    assert (local / "config.json").read_bytes() == b"{}"
    assert (tmp_path / "cache").exists() == is_remote


def test_copies_of_versions_are_apart_and_one_can_be_dropped(tmp_path: Path) -> None:
    uri, cache = f"memory://{tmp_path.name}/model", tmp_path / "cache"
    storage.create(f"{uri}/a", b"1")
    first = local_copies.localize(uri, cache, "1")
    storage.replace(f"{uri}/a", b"2")
    assert (local_copies.localize(uri, cache, "1") / "a").read_bytes() == b"1"
    assert (local_copies.localize(uri, cache, "2") / "a").read_bytes() == b"2"
    local_copies.drop_copy(first)
    local_copies.drop_copy(first)
    assert len(list(cache.iterdir())) == 1
    assert (local_copies.localize(uri, cache, "1") / "a").read_bytes() == b"2"


@pytest.mark.parametrize("is_faster", [True, False])
def test_a_lost_race_and_a_failed_download_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_faster: bool
) -> None:
    uri, cache, get = f"memory://{tmp_path.name}/model", tmp_path / "cache", MemoryFileSystem.get
    storage.create(f"{uri}/a", b"1")

    def slow(filesystem: MemoryFileSystem, remote: str, local: str, **options: object) -> None:
        get(filesystem, remote, local, **options)
        if not is_faster:
            raise OSError("no room")
        get(filesystem, remote, local.rpartition(".")[0], **options)  # another process of this host

    monkeypatch.setattr(MemoryFileSystem, "get", slow)
    if is_faster:
        assert (local_copies.localize(uri, cache) / "a").read_bytes() == b"1"
    else:
        with pytest.raises(OSError, match="no room"):
            local_copies.localize(uri, cache)
    assert len(list(cache.iterdir())) == is_faster


def test_localize_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found nothing there"):
        local_copies.localize(str(tmp_path / "none"), tmp_path)
