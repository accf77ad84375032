"""Storage: creation is whole or not at all, and the same on a local disk and in an object store."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import fsspec
import pytest
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from mapring import storage
from mapring.errors import MapringError, SettingsError, in_one_line


@pytest.fixture(params=["local", "memory"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}"


class PlainStore(MemoryFileSystem):
    """A store without a conditional put, which refuses to move onto a name that is taken, as HDFS does."""

    protocol = "plainstore"
    pipe_file = AbstractFileSystem.pipe_file

    def mv(self, path1: str, path2: str, **_options: Any) -> None:
        if self.exists(path2):
            raise OSError(f"{path2} is there")
        self.pipe_file(path2, self.cat_file(path1))
        self.rm_file(path1)


fsspec.register_implementation("plainstore", PlainStore, clobber=True)


def test_a_store_without_a_conditional_put_moves_finished_files(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = f"plainstore://{uuid.uuid4().hex}"
    uri = storage.join(folder, "record")
    assert storage.create(uri, b"one") is True and storage.create(uri, b"two") is False
    assert storage.read_bytes(uri) == b"one" and storage.list_names(folder) == ["record"], "nothing is left beside it"
    real = MemoryFileSystem.exists
    monkeypatch.setattr(
        PlainStore, "exists", lambda self, path: next(looks) if path.endswith("other") else real(self, path)
    )
    for refusal in (OSError("is there"), None):  # some clients say nothing of it
        looks = iter([False, True])  # another writer came in between
        monkeypatch.setattr(PlainStore, "mv", mock.Mock(side_effect=refusal))
        assert storage.create(storage.join(folder, "other"), b"three") is False


class AsynchronousStore(AsyncFileSystem):
    """A store with a conditional put, whose client is asynchronous within, as s3fs and gcsfs are."""

    protocol = "asyncstore"
    given: ClassVar[list[Any]] = []

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_options: Any) -> None:
        self.given.append((path, value, mode))
        if len(self.given) > 1:
            raise FileExistsError(path)


def test_a_store_with_a_conditional_put_is_asked_for_it() -> None:
    fsspec.register_implementation("asyncstore", AsynchronousStore, clobber=True)
    assert storage.create("asyncstore://a/b", b"one") is True
    assert storage.create("asyncstore://a/b", b"two") is False
    assert [mode for _, _, mode in AsynchronousStore.given] == ["create", "create"]


def test_what_others_wrote_since_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = f"memory://{uuid.uuid4().hex}", []
    storage.replace(storage.join(folder, "a"), b"x")
    monkeypatch.setattr(MemoryFileSystem, "invalidate_cache", lambda _self, path=None: asked.append(path))
    looks = (storage.exists, storage.size, storage.modified)
    for look in looks:
        look(storage.join(folder, "a"))
    storage.list_names(folder)
    assert len(asked) == len(looks) + 1 and None not in asked


def test_markers_of_folders_are_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consoles of object stores make empty objects `folder/`."""
    folder = f"memory://{uuid.uuid4().hex}"
    storage.replace(storage.join(folder, "a.csv"), b"text\n")
    real = MemoryFileSystem.find
    monkeypatch.setattr(
        MemoryFileSystem, "find", lambda self, path, **options: [f"{path}/", *real(self, path, **options)]
    )
    assert [info.relative for info in storage.list_files(folder)] == ["a.csv"]
    assert [file.relative for file in storage.list_stored(folder)] == ["a.csv"]


def test_errors_of_libraries_show_no_passwords() -> None:
    told = in_one_line(OSError("cannot reach http://ann:s3cret@host:9/x\nor https://tok3n@hub/y, at 12:30@home"))
    assert len(in_one_line(OSError("x://" + "a:" * 20_000))) == 300  # which took 15 s
    assert told == "cannot reach http://(not shown)@host:9/x or https://(not shown)@hub/y, at 12:30@home"


def test_create_tells_whether_the_name_was_free(base: str) -> None:
    uri = storage.join(base, "a", "b.txt")
    assert storage.create(uri, b"one") is True
    assert storage.create(uri, b"two") is False
    assert storage.read_bytes(uri) == b"one"
    assert storage.list_names(storage.join(base, "a")) == ["b.txt"]


def test_of_many_creators_exactly_one_wins_and_its_file_is_whole(tmp_path: Path) -> None:
    uri = str(tmp_path / "record")
    contents = [bytes([letter]) * 1_000_000 for letter in range(65, 81)]
    won: list[bytes] = []
    barrier = threading.Barrier(len(contents))

    def creator(content: bytes) -> None:
        barrier.wait()
        if storage.create(uri, content):
            won.append(content)

    threads = [threading.Thread(target=creator, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert Path(uri).read_bytes() == won[0]
    assert [path.name for path in tmp_path.iterdir()] == ["record"], "no temporary file is left"


def test_an_identical_copy_is_accepted_and_a_damaged_one_is_not(base: str) -> None:
    uri = storage.join(base, "x")
    storage.create_identical(uri, b"12345")
    storage.create_identical(uri, b"12345")
    with pytest.raises(MapringError, match="found 5 bytes where 3 belong"):
        storage.create_identical(uri, b"123")


def test_replace_overwrites(base: str) -> None:
    uri = storage.join(base, "report.html")
    storage.replace(uri, b"old")
    storage.replace(uri, b"new")
    assert storage.read_bytes(uri) == b"new"


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "in" / "real").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name in ("in/a.txt", "in/real/b.txt", "elsewhere/c.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "in" / "linked").symlink_to("../elsewhere")
    (tmp_path / "in" / "real" / "back").symlink_to("..")
    (tmp_path / "in" / "d.txt").symlink_to("../elsewhere/c.txt")

    def listed(pattern: str) -> list[str]:
        return [info.relative for info in storage.list_files(str(tmp_path / pattern))]

    assert listed("in") == ["a.txt", "d.txt", "linked/c.txt", "real/b.txt"] == listed("in/**/*.txt")
    assert listed("in/*/*.txt") == ["linked/c.txt", "real/b.txt"]
    assert listed("in/*.txt") == ["a.txt", "d.txt"] and listed("in/[r-z]*/?.txt") == ["real/b.txt"]
    (tmp_path / "in" / "real" / "gone.txt").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match=r"gone\.txt"):
        listed("in")


def test_list_files_gives_paths_below_what_was_asked_for(base: str) -> None:
    for name in ("in/b/2.csv", "in/a.csv", "in/_SUCCESS", "in/.hidden", "in/_temporary/x.csv"):
        storage.create(storage.join(base, name), b"1")
    directory = [info.relative for info in storage.list_files(storage.join(base, "in"))]
    assert directory == ["a.csv", "b/2.csv"]
    assert [info.relative for info in storage.list_files(storage.join(base, "in/a.csv"))] == ["a.csv"]
    assert [info.relative for info in storage.list_files(storage.join(base, "in/*/*.csv"))] == ["b/2.csv"]
    found = next(storage.list_files(storage.join(base, "in/b")))
    assert found.bytes == 1 and storage.read_bytes(found.uri) == b"1"


def test_package_uris_resolve_to_installed_directories() -> None:
    assert Path(storage.resolve("package://mapring/settings")).name == "settings"
    with pytest.raises(MapringError, match="found no installed package 'no_such_package'"):
        storage.resolve("package://no_such_package/x")


def test_arrow_reads_what_is_local_and_what_is_remote(base: str) -> None:
    uri = storage.join(base, "file")
    storage.create(uri, b"some bytes")
    with storage.open_arrow(uri) as handle:
        assert handle.size() == 10 and handle.read_at(5, 5) == b"bytes"


@pytest.mark.parametrize("uri", ["nowhere://bucket/texts.csv", "gs://bucket/texts.csv"])
def test_addresses_of_stores_that_are_not_installed_are_told_in_a_line(uri: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{uri}: found an address that cannot be opened here \(.+\), expected"):
        storage.exists(uri)
