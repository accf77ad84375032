"""Readers: every line comes out once, as a record or as a named problem, whatever the split."""

from __future__ import annotations

import csv
import gzip
import io
import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapring.columns import check_columns, column_names
from mapring.errors import InputError, SettingsError
from mapring.lineage import SourceFile
from mapring.settings import Input
from spark_jobs.formats.raw import MALFORMED, UNDECODABLE, list_of_labels
from spark_jobs.readers import read_segment
from spark_jobs.segments import plan_segments
from tests.spark_jobs.conftest import Read

NEWLINE = "\n"


def texts(rows: list[dict[str, Any]]) -> list[tuple[int, str | None]]:
    return [(row["record"], row["text"]) for row in rows]


def problems(rows: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    return [(row["record"], row["rule"], row["detail"]) for row in rows if row["rule"]]


def test_text_lines_keep_their_numbers_and_lose_their_ends(read: Read) -> None:
    rows = read(b"\xef\xbb\xbfone\r\n\ntwo\x00\nlast without end", "text")
    assert texts(rows) == [(1, "one"), (2, ""), (3, "two\x00"), (4, "last without end")]


def test_undecodable_lines_tell_byte_and_position(read: Read) -> None:
    rows = read(b"good\nb\xffd\n", "text")
    assert problems(rows) == [(2, UNDECODABLE, "byte 0xff at position 2 is not utf-8")]
    assert texts(read(b"b\xffd\n", "text", encoding="latin-1")) == [(1, "b\u00ffd")]


def test_jsonl_fields_and_everything_that_can_be_wrong_with_a_line(read: Read) -> None:
    lines = [
        '{"text": "fine", "label": "a", "id": 7}',
        '{"text": "number label", "label": 1}',
        "{broken",
        "[1]",
        '{"other": 1}',
        '{"text": 5}',
        '{"text": "\\ud800"}',
        '{"text": null}',
        "",
        '{"text": "x", "label": ["a", {}]}',
    ]
    rows = read("\n".join(lines).encode(), "jsonl", label_column="label", id_column="id")
    assert rows[0] == {
        "record": 1,
        "source_id": "7",
        "text": "fine",
        "label": "a",
        "time": None,
        "group": None,
        "second_text": None,
        "features": None,
        "rule": None,
        "detail": None,
    }
    assert rows[1]["label"] == "1"
    found = {number: (rule, detail) for number, rule, detail in problems(rows)}
    assert found[3][0] == MALFORMED and found[3][1].startswith("not JSON:")
    assert found[4] == (MALFORMED, "found a JSON list, expected an object")
    assert found[5] == (MALFORMED, "found no key 'text'")
    assert found[6] == (MALFORMED, "'text' is a int, expected text")
    assert found[7] == (UNDECODABLE, "'text' has a lone surrogate at position 1")
    assert found[10] == (MALFORMED, "'label' has '{}' in its list, expected texts or numbers")
    assert set(found) == {3, 4, 5, 6, 7, 10}
    assert [row["record"] for row in rows] == list(range(1, 11)), "each line comes once"


def test_csv_with_quoted_line_ends_and_ragged_rows(read: Read) -> None:
    content = b'id,text,label\n1,"two\nlines, ""quoted""",a\n2,plain,b\n3,too,many,fields\n4\n5,b\xffd,a\n'
    rows = read(content, "csv", label_column="label", id_column="id")
    assert texts(rows)[:2] == [(2, 'two\nlines, "quoted"'), (4, "plain")]
    assert [row["source_id"] for row in rows[:2]] == ["1", "2"]
    assert problems(rows) == [
        (5, MALFORMED, "found 4 fields, expected 3"),
        (6, MALFORMED, "found 1 fields, expected 3"),
        (7, UNDECODABLE, "byte 0xff at position 2 is not utf-8"),
    ]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_csv_may_have_other_separators(read: Read, separator: str) -> None:
    content = 'text,label\n"a, b",x\nc,y\nd\n'.replace(",", separator).replace(f"a{separator} b", f"a{separator}, b")
    rows = read(content.encode(), "csv", label_column="label", separator=separator)
    assert texts(rows) == [(2, f"a{separator}, b"), (3, "c"), (4, None)]
    assert rows[2]["detail"] == "found 1 fields, expected 2"


@pytest.mark.parametrize(("encoding", "word"), [("cp1252", "“café”"), ("gb18030", "这家酒店，很好")])
def test_a_csv_may_be_in_the_encodings_of_windows(read: Read, encoding: str, word: str) -> None:
    content = f"été,text\n1,{word}\n".replace("été", "id" if encoding == "gb18030" else "été").encode(encoding)
    assert texts(read(content, "csv", encoding=encoding)) == [(2, word)]


@pytest.mark.parametrize(("file_format", "separator"), [("csv", b","), ("tsv", b"\t")])
def test_a_column_that_is_read_stands_once(read: Read, tmp_path: Path, file_format: str, separator: bytes) -> None:
    content = b"n,text,n,text\n1,x,2,y\n".replace(b",", separator)
    source = Input(name="s", path="s", format=file_format)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"file: found 2 columns named 'text' among 'n', 'text', 'n', 'text', expec"):
        read(content, file_format)
    with pytest.raises(SettingsError, match=r"inputs\.0\.text_column: .* has 2 columns named 'text', .*; rename"):
        check_columns("c.yaml", "inputs.0", source, str(tmp_path / "file"))
    [row] = read(content.replace(b"text", b"other", 1), file_format)  # two of a name that nothing reads
    assert row["text"] == "y"


@pytest.mark.parametrize(("file_format", "separator"), [("csv", b","), ("tsv", b"\t")])
@pytest.mark.parametrize("blank", [b"\n", b"\r\n\n", b"\xef\xbb\xbf\n"])
def test_blank_lines_above_the_header_are_passed_over(
    read: Read, tmp_path: Path, file_format: str, separator: bytes, blank: bytes
) -> None:
    content = blank + b"n,text\n1,x\n".replace(b",", separator)
    [row] = read(content, file_format)
    assert (row["text"], row["record"]) == ("x", content.count(b"\n"))
    assert column_names(str(tmp_path / "file"), file_format, "utf-8") == ["n", "text"]
    source = Input(name="s", path="s", format=file_format, text_column="words")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"inputs\.0\.text_column: .* has no column 'words'; it has 'n', 'text'"):
        check_columns("c.yaml", "inputs.0", source, str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"file: found 0 columns named 'words' among 'n', 'text', expected one; corr"):
        read(content, file_format, text_column="words")


def test_a_quote_in_the_middle_of_a_csv_field_is_text(read: Read) -> None:
    assert texts(read(b'text,n\n5" screen,1\n6" screen,2\n', "csv")) == [(2, '5" screen'), (3, '6" screen')]


@pytest.mark.parametrize("good_lines", [1, 2500])
@pytest.mark.parametrize("closing", [b"", b'"two\nlines",3\n'])
def test_a_stray_csv_quote_costs_its_own_line_only(read: Read, good_lines: int, closing: bytes) -> None:
    good = [b"line %d,2\n" % number for number in range(good_lines)]
    rows = read(b'text,n\n"open,1\n' + b"".join(good) + closing, "csv")
    assert problems(rows) == [(2, MALFORMED, "not csv: a quote is opened and not closed")]
    expected = [f"line {number}" for number in range(good_lines)] + (["two\nlines"] if closing else [])
    assert [row["text"] for row in rows if row["rule"] is None] == expected


def test_a_quoted_csv_text_may_have_any_number_of_lines_and_quotes(read: Read) -> None:
    lines = [f'line {number}, ""part""' for number in range(20_000)]
    begin = time.monotonic()
    rows = read(f'id,text\n1,"{NEWLINE.join(lines)}"\n2,plain\n'.encode(), "csv", id_column="id")
    assert texts(rows) == [(2, NEWLINE.join(lines).replace('""', '"')), (20_002, "plain")]
    assert time.monotonic() - begin < 20, "each of them tried would be 20,000 readings of 300 kB, about 100 s"


def test_a_ragged_csv_record_of_several_lines_is_one_and_its_lines_are_no_records(read: Read) -> None:
    content = b'id,text,label\n1,"one\ntwo\nand, three, commas\nfour"\n2,plain,b\n'
    rows = read(content, "csv", label_column="label", id_column="id")
    assert texts(rows) == [(2, None), (6, "plain")]
    assert problems(rows) == [(2, MALFORMED, "found 2 fields, expected 3")]


def test_tsv_has_no_quotes(read: Read) -> None:
    rows = read(b'text\tlabel\n"a\tx\nb\t"y"\n\nonly\n', "tsv", label_column="label")
    assert [(row["text"], row["label"]) for row in rows] == [('"a', "x"), ("b", '"y"'), (None, None)]
    assert problems(rows) == [(5, MALFORMED, "found 1 fields, expected 2")]


def test_parquet_rows_are_numbered_across_row_groups(read: Read) -> None:
    sink = io.BytesIO()
    table = pa.table({"t": ["a", None, "c", "d"], "l": [1, 2, 3, 4]})
    pq.write_table(table, sink, row_group_size=1)
    for split_bytes in (1, 1 << 30):
        rows = read(sink.getvalue(), "parquet", text_column="t", label_column="l", split_bytes=split_bytes)
        assert [(row["record"], row["text"], row["label"]) for row in rows] == [
            (1, "a", "1"),
            (2, None, "2"),
            (3, "c", "3"),
            (4, "d", "4"),
        ]


def test_binary_parquet_text_is_decoded_or_quarantined(read: Read) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": [b"ok", b"\xff"]}), sink)
    assert problems(read(sink.getvalue(), "parquet")) == [(2, UNDECODABLE, "byte 0xff at position 1 is not utf-8")]


def test_binary_parquet_columns_are_texts_as_the_text_is(read: Read) -> None:
    sink = io.BytesIO()
    columns = {"text": [b"ok", b"fine"], "label": [b"sp\xe4m", None], "id": [b"i1", b"i2"], "thread": [b"g", b"h"]}
    pq.write_table(pa.table(columns), sink)
    named = {"label_column": "label", "id_column": "id", "group_column": "thread"}
    rows = read(sink.getvalue(), "parquet", encoding="latin-1", **named)
    found = [(row["text"], row["label"], row["source_id"], row["group"]) for row in rows]
    assert found == [("ok", "sp\u00e4m", "i1", "g"), ("fine", None, "i2", "h")]
    several = io.BytesIO()
    pq.write_table(pa.table({"text": ["ok"], "label": pa.array([[b"b", b"a"]], pa.list_(pa.binary()))}), several)
    [row] = read(several.getvalue(), "parquet", label_column="label")
    assert row["label"] == list_of_labels(["b", "a"], "label")


@pytest.mark.parametrize("file_format", ["text", "jsonl", "csv", "tsv"])
def test_gzip_reads_the_same(read: Read, file_format: str) -> None:
    lines = {"text": "a\nb\n", "jsonl": '{"text":"a"}\n{"text":"b"}\n', "csv": "text\na\nb\n", "tsv": "text\na\nb\n"}
    content = lines[file_format].encode()
    assert read(gzip.compress(content), file_format, name="f.gz") == read(content, file_format)


def test_a_truncated_gzip_is_refused_by_name(read: Read) -> None:
    content = gzip.compress(b"line\n" * 10_000)[:-20]
    with pytest.raises(InputError, match=r"cut\.gz: the file is damaged or incomplete"):
        read(content, "text", name="cut.gz")


def test_empty_files_hold_nothing(read: Read) -> None:
    assert [read(b"", file_format) for file_format in ("text", "jsonl", "csv", "tsv")] == [[]] * 4
    assert read(b"text,label\n", "csv") == []


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line), max_size=30),
    ends_with_newline=st.booleans(),
    split_bytes=st.integers(1, 40),
)
def test_splitting_a_file_anywhere_gives_the_same_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], ends_with_newline: bool, split_bytes: int
) -> None:
    content = b"\n".join(lines) + (b"\n" if ends_with_newline and lines else b"")
    path = tmp_path_factory.mktemp("split") / "file.txt"
    path.write_bytes(content)
    source = Input(name="s", path=str(path), format="text", encoding="latin-1")
    file = SourceFile("s", str(path), "file.txt", len(content), "")
    found = [
        (row["record"], row["text"])
        for segment in plan_segments([source], [file], split_bytes)
        for batch in read_segment(segment)
        for row in batch.to_pylist()
    ]
    whole = content.split(b"\n")
    expected = [
        line.removeprefix(b"\xef\xbb\xbf" if number == 0 else b"").removesuffix(b"\r")
        for number, line in enumerate(whole)
    ]
    if content.endswith(b"\n") or not content:
        expected.pop()
    assert found == [(number, line.decode("latin-1")) for number, line in enumerate(expected, 1)]


CELL = st.text(st.sampled_from('ab\u00e9,"\n '), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(CELL, CELL), max_size=12))
def test_whatever_a_csv_writer_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerows([("text", "label"), *rows])
    path = tmp_path_factory.mktemp("csv") / "file.csv"
    path.write_bytes(sink.getvalue().encode())
    source = Input(name="s", path=str(path), format="csv", label_column="label")
    file = SourceFile("s", str(path), "file.csv", path.stat().st_size, "")
    found = [
        row
        for segment in plan_segments([source], [file], 1 << 30)
        for batch in read_segment(segment)
        for row in batch.to_pylist()
    ]
    assert [(row["text"], row["label"]) for row in found] == rows


def test_a_text_of_ten_megabytes_is_one_record(read: Read) -> None:
    big = "x" * 10_000_000
    assert read(f"text\n{big}\n".encode(), "csv")[0]["text"] == big
    assert read(json.dumps({"text": big}).encode(), "jsonl")[0]["text"] == big
