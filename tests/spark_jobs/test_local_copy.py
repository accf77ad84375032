"""Copies of what is published remotely: those of its manifest, and whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapring import storage
from mapring.contract import read_manifest, write_file
from mapring.errors import PublishedError
from spark_jobs.local_copy import local_copy
from tests.spark_jobs.backends.tiny_run import publish_shards


def published(uri: str, content: bytes) -> str:
    storage.remove_tree(uri)
    publish_shards(uri, "1" * 16, [write_file(uri, "file", content)], {})
    return uri


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOME", str(tmp_path))
    return published(f"memory://{tmp_path.name}/shards", b"first")


def test_what_is_published_anew_at_a_uri_is_copied_anew(uri: str) -> None:
    assert (local_copy(uri, read_manifest(uri), "again") / "file").read_bytes() == b"first"
    published(uri, b"other")
    assert (local_copy(uri, read_manifest(uri), "again") / "file").read_bytes() == b"other"


def test_a_damaged_copy_is_made_once_more_before_the_directory_is_blamed(uri: str) -> None:
    manifest = read_manifest(uri)
    (local_copy(uri, manifest, "again") / "file").write_bytes(b"1")
    assert (local_copy(uri, manifest, "again") / "file").read_bytes() == b"first"
    storage.replace(f"{uri}/file", b"1")
    (local_copy(uri, manifest, "again") / "file").unlink()
    with pytest.raises(PublishedError, match=f"^{uri}/file: found 1 bytes, expected 5 bytes; train again$"):
        local_copy(uri, manifest, "train again")


def test_a_local_directory_stays_where_it_is(tmp_path: Path) -> None:
    directory = published(str(tmp_path / "shards"), b"first")
    manifest = read_manifest(directory)
    assert local_copy(directory, manifest, "again") == Path(directory)
    Path(directory, "file").unlink()
    with pytest.raises(PublishedError, match="file: found nothing, expected 5 bytes; again"):
        local_copy(directory, manifest, "again")
