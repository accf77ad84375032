"""Compressed files: read whole however many members they have, and refused by name where they are damaged."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from mapring.columns import check_columns, column_names
from mapring.errors import InputError, SettingsError
from mapring.settings import Input
from tests.spark_jobs.conftest import Read


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "zst": zstd}
CONTENT = {
    "text": b"a\nb\n",
    "text_file": b"a\nb\n",
    "jsonl": b'{"text":"a"}\n{"text":"b"}\n',
    "csv": b'text,n\n"a\nb",1\n',
    "tsv": b"text\tn\na\t1\n",
}
ENDINGS = pytest.mark.parametrize("ending", list(COMPRESS))


@ENDINGS
@pytest.mark.parametrize("file_format", list(CONTENT))
def test_every_format_reads_the_same_from_every_compression(read: Read, file_format: str, ending: str) -> None:
    content = CONTENT[file_format]
    expected = read(content, file_format)
    assert expected and not any(row["rule"] for row in expected)
    assert read(COMPRESS[ending](content), file_format, name=f"f.{ending}", split_bytes=1) == expected


@ENDINGS
def test_all_members_of_a_file_are_read_also_empty_ones(read: Read, ending: str) -> None:
    compress = COMPRESS[ending]
    lines = [b"line %d\n" % number for number in range(50_000)]
    half = b"".join(lines[:20_000]) + b"cut in the"
    between = [] if ending == "bz2" else [b""]  # Arrow takes an empty member there for damage
    parts = [b"", half, *between, b" middle\n" + b"".join(lines[20_000:]), b""]
    rows = read(b"".join(map(compress, parts)), "text", name=f"f.{ending}")
    assert len(rows) == 50_001 and rows[20_000]["text"] == "cut in the middle"
    assert rows[-1] == rows[-1] | {"record": 50_001, "text": "line 49999"}


@ENDINGS
@pytest.mark.parametrize("file_format", list(CONTENT))
@pytest.mark.parametrize("damage", ["cut", "cut at once", "second member cut", "more behind", "not compressed"])
def test_a_damaged_file_is_refused_by_name(read: Read, file_format: str, ending: str, damage: str) -> None:
    header = CONTENT[file_format]
    whole = COMPRESS[ending](header + bytes(range(97, 123)) * 400)
    content = {
        "cut": whole[:-9],
        "cut at once": whole[:5],
        "second member cut": whole + whole[:-9],
        "more behind": whole + b"something else",
        "not compressed": header,
    }[damage]
    with pytest.raises(InputError, match=rf"f\.{ending}: the file is damaged or incomplete .*replace it"):
        read(content, file_format, name=f"f.{ending}")


@ENDINGS
@pytest.mark.parametrize("file_format", [*CONTENT, "warc"])
def test_a_compressed_file_without_bytes_is_no_empty_file(read: Read, file_format: str, ending: str) -> None:
    with pytest.raises(InputError, match=rf"f\.{ending}: found 0 bytes, expected a file compressed by .*replace it"):
        read(b"", file_format, name=f"f.{ending}")
    if file_format != "text_file":
        assert read(COMPRESS[ending](b""), file_format, name=f"f.{ending}") == []


@ENDINGS
def test_headers_are_read_and_damage_is_told_before_a_start(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"f.csv.{ending}"
    path.write_bytes(COMPRESS[ending](b"\xef\xbb\xbfid,text\r\n" + b"1,a\n" * 1000))
    assert column_names(str(path), "csv", "utf-8") == ["id", "text"]
    source = Input(name="s", path=str(path), format="csv", group_column="author")
    with pytest.raises(SettingsError, match=r"inputs\.0\.group_column: .* has no column 'author'; it has 'id', 'text'"):
        check_columns("c.yaml", "inputs.0", source, str(path))
    path.write_bytes(path.read_bytes()[:7])
    with pytest.raises(SettingsError, match=r"inputs\.0\.format: .* cannot be read as csv"):
        check_columns("c.yaml", "inputs.0", source, str(path))
