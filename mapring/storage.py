"""One file layer and one URI scheme for everything that is read or published.

Local paths and `file://`, `s3://`, `gs://`, `hdfs://`, `memory://` go through fsspec;
`package://NAME/PATH` names a directory that an installed Python package carries.

The one operation that publishing rests on is `create`: it makes a whole file appear under a name
that did not exist, or tells that the name was taken. Object stores offer it as a conditional put;
HDFS moves a finished file, which a taken name refuses; on a local disk it is a hard link to a
finished temporary file, so that neither a kill nor a second writer can leave a torn file under a
published name.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib.util
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import fsspec
import pyarrow as pa
from fsspec.spec import AbstractFileSystem
from fsspec.utils import glob_translate

from mapring.errors import MapringError, SettingsError, in_one_line
from mapring.full_disk import told_when_full
from mapring.passwords import without_users

_BLOCK_BYTES = 1 << 20
_STORES = frozenset({"botocore", "aiobotocore", "s3fs", "gcsfs", "adlfs", "azure", "google", "aiohttp"})


class FileInfo(NamedTuple):
    """One file found by `list_files`: its URI, its path below what was asked for, its size in bytes."""

    uri: str
    relative: str
    bytes: int


class StoredFile(NamedTuple):
    """One file found by `list_stored`: its URI, its path below the directory, bytes, and when it was last modified."""

    uri: str
    relative: str
    bytes: int
    modified: datetime.datetime


def _filesystem(uri: str) -> tuple[Any, str]:
    """The store of a URI, and the path in it.

    Raises:
        SettingsError: nothing that is installed here opens such an address.
    """
    try:
        filesystem, path = fsspec.core.url_to_fs(resolve(uri))
    except (ImportError, ValueError) as error:  # no package for the protocol, no such protocol
        raise SettingsError(
            f"{without_users(uri)}: found an address that cannot be opened here ({in_one_line(error)}), expected a "
            "path or the address of a store that is known; install what is missing on every host, or check the address"
        ) from None
    return filesystem, path


def _fresh(uri: str) -> tuple[Any, str]:
    """The same, asked anew: a store's client may remember a listing without what other processes wrote since."""
    filesystem, path = _filesystem(uri)
    filesystem.invalidate_cache(path)
    return filesystem, path


def _is_local(filesystem: Any) -> bool:
    protocol = filesystem.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


def resolve(uri: str) -> str:
    """Turn `package://NAME/PATH` into the directory it stands for; leave every other URI alone.

    Raises:
        MapringError: the package is not installed here.
    """
    if not uri.startswith("package://"):
        return uri
    package, _, inner = uri.removeprefix("package://").partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MapringError(f"{uri}: found no installed package {package!r}; install it, or give a directory instead")
    return str(Path(spec.submodule_search_locations[0], inner))


def join(base: str, *parts: str) -> str:
    """Join path segments below a URI or a local path."""
    return "/".join([base.rstrip("/"), *parts])


def local_path(uri: str) -> Path | None:
    """The local path that a URI stands for, or None when it is remote."""
    filesystem, path = _filesystem(uri)
    return Path(path) if _is_local(filesystem) else None


def exists(uri: str) -> bool:
    """Whether a file or directory stands at this URI."""
    filesystem, path = _fresh(uri)
    return bool(filesystem.exists(path))


def size(uri: str) -> int:
    """Size of a file in bytes. Raises FileNotFoundError where there is none."""
    filesystem, path = _fresh(uri)
    return int(filesystem.size(path))


def modified(uri: str) -> datetime.datetime:
    """When a file was last modified, by the clock of its store; UTC."""
    return _modified(*_fresh(uri))


def _modified(filesystem: Any, path: str) -> datetime.datetime:
    found: datetime.datetime = filesystem.modified(path)
    return found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)


def open_read(uri: str) -> IO[bytes]:
    """Open a file for reading bytes."""
    filesystem, path = _filesystem(uri)
    handle: IO[bytes] = filesystem.open(path, "rb")
    return handle


def open_arrow(uri: str) -> pa.NativeFile:
    """Open a file for Arrow: a local one so that Arrow reads it without Python, and its threads without waiting."""
    path = local_path(uri)
    return pa.PythonFile(open_read(uri), mode="r") if path is None else pa.OSFile(str(path))


def read_bytes(uri: str) -> bytes:
    """The whole content of a file."""
    filesystem, path = _filesystem(uri)
    content: bytes = filesystem.cat_file(path)
    return content


def sha256(uri: str) -> str:
    """Hex SHA-256 of a file's content, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open_read(uri) as handle:
        while block := handle.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def create(uri: str, content: bytes) -> bool:
    """Make a whole file appear, atomically, if and only if the name is free.

    Returns:
        True if this call created the file, False if the name was already taken.

    Raises:
        DiskFullError: there is no room for it.
    """
    with told_when_full(uri, len(content)):
        return _create(uri, content)


def _create(uri: str, content: bytes) -> bool:
    filesystem, path = _filesystem(uri)
    if not _is_local(filesystem):
        # Bound, since clients that are asynchronous within have their own `pipe_file` in the instance only.
        if getattr(filesystem.pipe_file, "__func__", None) is AbstractFileSystem.pipe_file:
            return _create_by_move(filesystem, path, content)
        try:
            filesystem.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        return True
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.link(temporary, target)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _create_by_move(filesystem: Any, path: str, content: bytes) -> bool:
    """Where a store knows no conditional put, as HDFS: a finished file is moved, which a taken name refuses there."""
    temporary = f"{path.rpartition('/')[0]}/.{path.rpartition('/')[2]}.{uuid.uuid4().hex}.tmp"
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    filesystem.pipe_file(temporary, content)
    try:
        if not filesystem.exists(path):
            filesystem.mv(temporary, path)
    except OSError:
        if not filesystem.exists(path):
            raise
    finally:
        is_left = filesystem.exists(temporary)  # the name was taken; some clients say so by no error
        if is_left:
            filesystem.rm_file(temporary)
    return not is_left


def create_identical(uri: str, content: bytes) -> None:
    """Create a file whose name determines its content; a complete earlier copy is accepted.

    Raises:
        MapringError: the name is taken by something of another size.
    """
    if create(uri, content):
        return
    found = size(uri)
    if found != len(content):
        raise MapringError(
            f"{uri}: found {found} bytes where {len(content)} belong; the file was damaged after it was written: "
            "remove its directory and run the stage again"
        )


def replace(uri: str, content: bytes) -> None:
    """Write a file that is not published and may be overwritten (metrics, reports).

    Raises:
        DiskFullError: there is no room for it.
    """
    with told_when_full(uri, len(content)):
        _replace(uri, content)


def _replace(uri: str, content: bytes) -> None:
    filesystem, path = _filesystem(uri)
    if not _is_local(filesystem):
        filesystem.pipe_file(path, content)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_tree(uri: str) -> None:
    """Remove a directory and all below it; nothing happens where there is none."""
    filesystem, path = _filesystem(uri)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


def list_names(uri: str) -> list[str]:
    """Names of the entries directly below a directory, sorted; empty where there is none."""
    filesystem, path = _fresh(uri)
    if not filesystem.exists(path):
        return []
    return sorted(
        Path(entry).name for entry in filesystem.ls(path, detail=False) if entry.strip("/") != path.strip("/")
    )


def list_files(pattern: str) -> Iterator[FileInfo]:
    """Yield the files that a path, a directory (recursively) or a glob stands for, sorted by path.

    Names that begin with `_` or `.` are passed over below a directory or glob, as Spark does. Links to local
    directories are followed, which fsspec does not do, but none that leads back to where it stands.
    """
    filesystem, path = _filesystem(pattern)
    filesystem.invalidate_cache()  # also of folders below, whose listings answer for sizes then
    if filesystem.isfile(path):
        root, found = str(Path(path).parent), [path]
    elif filesystem.isdir(path):
        root, found = path, list(_walk(path) if _is_local(filesystem) else _found_below(filesystem, path))
    else:
        fixed = re.split(r"[*?\[]", path, maxsplit=1)[0]
        root = fixed.rpartition("/")[0]
        if not _is_local(filesystem):
            found = [entry for entry in filesystem.glob(path) if filesystem.isfile(entry)]
        elif "**" in path:
            found = [entry for entry in _walk(root or "/") if re.match(glob_translate(path), entry)]
        else:
            inside = Path(root or "/").glob(path[len(root) :].lstrip("/"))
            found = [str(entry) for entry in inside if not entry.is_dir()]
    for entry in sorted(found):
        relative = entry.removeprefix(root).strip("/")
        if entry != path and any(part.startswith(("_", ".")) for part in relative.split("/")):
            continue
        uri = entry if _is_local(filesystem) else filesystem.unstrip_protocol(entry)
        yield FileInfo(uri, relative, int(filesystem.size(entry)))


def _found_below(filesystem: Any, path: str) -> list[str]:
    """Files below a directory of a store, without the empty objects by which consoles mark folders."""
    return [entry for entry in filesystem.find(path) if not entry.endswith("/")]


def _walk(directory: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Files below a local directory if there is one, also through links; `above` are the true folders passed."""
    true = os.path.realpath(directory)
    if true in above or not Path(true).is_dir():
        return
    for entry in os.scandir(directory):
        if entry.is_dir():
            yield from _walk(entry.path, (*above, true))
        elif entry.is_file() or entry.is_symlink():  # a link to nothing is an error where it is read, not passed over
            yield entry.path


def list_stored(uri: str) -> list[StoredFile]:
    """All files below a directory, also hidden ones, sorted by path; links are not followed. Empty where there is none.

    A file that is removed while we look is passed over.
    """
    filesystem, path = _filesystem(uri)
    filesystem.invalidate_cache()  # also of folders below, whose listings answer for sizes then
    if not filesystem.isdir(path):
        return []
    found = []
    for entry in sorted(_found_below(filesystem, path)):
        relative = entry.removeprefix(path).strip("/")
        place = entry if _is_local(filesystem) else filesystem.unstrip_protocol(entry)
        try:
            found.append(StoredFile(place, relative, int(filesystem.size(entry)), _modified(filesystem, entry)))
        except FileNotFoundError:
            continue
    return found


def download(uri: str, target: Path) -> None:
    """Copy all that is below a directory of a remote store to a local one that is not there yet."""
    filesystem, path = _filesystem(uri)
    filesystem.get(path, str(target), recursive=True)


def remove_file(uri: str) -> None:
    """Remove one file; nothing happens where there is none."""
    filesystem, path = _filesystem(uri)
    with contextlib.suppress(FileNotFoundError):
        filesystem.rm_file(path)


def is_of_store(error: BaseException) -> bool:
    """Whether an error comes from a store's client: it does not answer, or refuses us; many are no OSError."""
    return any(kind.__module__.partition(".")[0] in _STORES for kind in type(error).__mro__)


def check_writable(uri: str) -> None:
    """Raise OSError unless a file can be created below this directory (which is made if missing)."""
    filesystem, path = _filesystem(uri)
    probe = join(path, f".probe-{uuid.uuid4().hex}")
    filesystem.makedirs(path, exist_ok=True)
    filesystem.pipe_file(probe, b"")
    filesystem.rm_file(probe)


def store_identity(uri: str) -> str:
    """What a remote store keeps to tell versions of a file apart: checksum, tag, or size and time."""
    filesystem, path = _filesystem(uri)
    filesystem.invalidate_cache(str(PurePosixPath(path).parent))
    return str(filesystem.ukey(path))
