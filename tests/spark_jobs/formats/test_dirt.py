"""Dirty files of every format: each record comes out once, as a text or with the reason why not."""

from __future__ import annotations

import datetime
import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mapring.columns import check_columns
from mapring.errors import InputError, SettingsError
from mapring.lineage import list_sources
from mapring.settings import Input
from spark_jobs.formats.raw import MALFORMED, UNDECODABLE
from tests.spark_jobs.conftest import Read


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def unchecked(values: list[bytes]) -> pa.Array:
    """A column of texts whose bytes nobody checked, as other writers leave them."""
    return pa.array(values, pa.binary()).cast(pa.binary()).view(pa.string())


DIRTY = b"a\xffb"
SURROGATE = "\ud800".encode("utf-8", "surrogatepass")


def one_of_each(text: bytes) -> dict[str, bytes]:
    """A file of every format with this text between two good ones."""
    return {
        "text": b"good\n" + text + b"\nfine\n",
        "csv": b"text,n\ngood,1\n" + text + b",2\nfine,3\n",
        "tsv": b"text\tn\ngood\t1\n" + text + b"\t2\nfine\t3\n",
        "jsonl": b'{"text": "good"}\n{"text": "' + text + b'"}\n{"text": "fine"}\n',
        "parquet": parquet(pa.table({"text": unchecked([b"good", text, b"fine"])})),
    }


@pytest.mark.parametrize("file_format", ["text", "csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("dirt", [DIRTY, SURROGATE])
def test_bytes_that_are_not_utf8_cost_their_own_record(read: Read, file_format: str, dirt: bytes) -> None:
    rows = read(one_of_each(dirt)[file_format], file_format)
    assert [row["text"] for row in rows] == ["good", None, "fine"]
    assert [row["rule"] for row in rows] == [None, UNDECODABLE, None]
    assert "is not utf-8" in rows[1]["detail"]
    assert rows[1]["record"] == rows[0]["record"] + 1


@pytest.mark.parametrize("file_format", ["text", "csv", "tsv", "parquet"])
def test_nul_bytes_are_characters_like_others(read: Read, file_format: str) -> None:
    assert [row["text"] for row in read(one_of_each(b"a\0b")[file_format], file_format)] == ["good", "a\0b", "fine"]


def test_nul_bytes_in_json(read: Read) -> None:
    rows = read(b'{"text": "a\\u0000b"}\n{"text": "a\0b"}\n', "jsonl")
    assert rows[0]["text"] == "a\0b"
    assert rows[1]["rule"] == MALFORMED and "control character" in rows[1]["detail"]


def test_a_text_file_is_one_document(read: Read) -> None:
    [row] = read(b"\xef\xbb\xbfone\r\n\ntwo\n", "text_file")
    assert (row["record"], row["text"], row["rule"]) == (1, "one\r\n\ntwo\n", None)
    [row] = read(DIRTY, "text_file")
    assert (row["text"], row["rule"]) == (None, UNDECODABLE)
    [row] = read(DIRTY, "text_file", encoding="latin-1")
    assert row["text"] == "a\u00ffb"


def test_empty_files_hold_nothing_but_an_empty_text_file_is_an_empty_document(read: Read) -> None:
    for file_format in ("text", "jsonl", "csv", "tsv", "parquet", "warc"):
        assert read(b"", file_format) == []
    assert [(row["record"], row["text"]) for row in read(b"", "text_file")] == [(1, "")]


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    source = Input(name="s", path=str(tmp_path), format="text_file")
    with pytest.raises(SettingsError, match=r"c\.yaml: preprocess\.inputs\.0\.path: found no file at"):
        list_sources("c.yaml", "preprocess.inputs", (source,))


@pytest.mark.parametrize("path", ["", "/*.txt", "/sub"])
def test_a_file_whose_name_is_not_utf8_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "fine.txt").write_text("x")
    for folder in (tmp_path, tmp_path / "sub"):
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("x")
    source = Input(name="s", path=f"{tmp_path}{path}", format="text")
    told = (
        r"c\.yaml: preprocess\.inputs\.0\.path: found the file '.*/caf\\udce9\.txt', whose name is not UTF-8; rename it"
    )
    with pytest.raises(SettingsError, match=told):
        list_sources("c.yaml", "preprocess.inputs", (source,))


def test_ids_that_repeat_are_carried_along(read: Read) -> None:
    rows = read(b"id,text\n7,a\n7,b\n", "csv", id_column="id")
    assert [(row["record"], row["source_id"], row["text"]) for row in rows] == [(2, "7", "a"), (3, "7", "b")]


def test_time_and_group_of_every_format_with_columns(read: Read) -> None:
    when = datetime.datetime(2024, 1, 2, 3, 4, 5)
    table = pa.table({"text": ["x", "y"], "when": [when, None], "who": ["ann", None]})
    content = {
        "csv": b"text,when,who\nx,2024-01-02T03:04:05,ann\ny,,\n",
        "tsv": b"text\twhen\twho\nx\t2024-01-02T03:04:05\tann\ny\t\t\n",
        "jsonl": b'{"text": "x", "when": "2024-01-02T03:04:05", "who": "ann"}\n{"text": "y"}\n',
        "parquet": parquet(table),
    }
    for file_format, file in content.items():
        rows = read(file, file_format, time_column="when", group_column="who")
        assert (rows[0]["time"], rows[0]["group"]) == ("2024-01-02T03:04:05", "ann"), file_format
        assert (rows[1]["time"] or None, rows[1]["group"] or None) == (None, None)


@pytest.mark.parametrize("odd", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_finite_number_is_no_label_group_or_time(read: Read, odd: str) -> None:
    columns = {"label_column": "label", "group_column": "who", "time_column": "when", "id_column": "id"}
    table = pa.table({"text": ["x"], **{name: [float(odd)] for name in columns.values()}})
    line = f'{{"text": "x", "label": {odd}, "who": {odd}, "when": {odd}, "id": {odd}}}'
    for rows in (read(parquet(table), "parquet", **columns), read(line.encode(), "jsonl", **columns)):
        assert [(row["label"], row["group"], row["time"], row["source_id"]) for row in rows] == [(None,) * 4]


def test_what_is_no_finite_number_is_no_name_in_a_list_of_labels(read: Read) -> None:
    table = pa.table({"text": ["x"], "label": [[1.0, float("nan")]]})
    for rows in (
        read(parquet(table), "parquet", label_column="label"),
        read(b'{"text": "x", "label": [1.0, NaN]}', "jsonl", label_column="label"),
    ):
        assert rows[0]["rule"] == MALFORMED
        assert rows[0]["detail"] == "'label' has 'nan' in its list, expected texts or numbers"


def test_labels_are_written_alike_in_every_format_with_types(read: Read) -> None:
    for values in ([True, False], [1, 2], [1.5, 1e20], [[True], [False, True]], [["a"], ["b", "c"]], [[1], [2]]):
        lines = "".join(json.dumps({"text": "x", "label": value}) + "\n" for value in values)
        table = pa.table({"text": ["x", "x"], "label": values})
        from_json = [row["label"] for row in read(lines.encode(), "jsonl", label_column="label")]
        assert [row["label"] for row in read(parquet(table), "parquet", label_column="label")] == from_json
    assert [row["label"] for row in read(b'{"text": "x", "label": true}', "jsonl", label_column="label")] == ["true"]


def test_one_column_can_serve_twice(read: Read) -> None:
    table = pa.table({"text": ["x"], "who": ["ann"]})
    [row] = read(parquet(table), "parquet", id_column="who", group_column="who")
    assert (row["source_id"], row["group"]) == ("ann", "ann")


def test_dictionary_columns_of_parquet_are_texts(read: Read) -> None:
    table = pa.table({"text": pa.array(["x", "y", "x"]).dictionary_encode()})
    assert [row["text"] for row in read(parquet(table), "parquet")] == ["x", "y", "x"]


ODD_VALUES = {
    "year 10000": pa.array([0, 253_402_300_800_000_000, None], pa.int64()).cast(pa.timestamp("us")),
    "a date far away": pa.array([0, 2**31 - 1, None], pa.int32()).view(pa.date32()),
}


@pytest.mark.parametrize("odd", list(ODD_VALUES))
def test_a_value_that_python_has_not_costs_its_own_record(read: Read, odd: str) -> None:
    table = pa.table({"text": ["x", "y", "z"], "when": ODD_VALUES[odd]})
    rows = read(parquet(table), "parquet", time_column="when")
    assert [(row["text"], row["rule"]) for row in rows] == [("x", None), (None, MALFORMED), ("z", None)]
    assert rows[0]["time"].startswith("1970-01-01") and rows[2]["time"] is None
    assert rows[1]["record"] == 2 and rows[1]["detail"].startswith("'when' cannot be read: ")


def test_bytes_in_a_list_that_are_not_utf8_cost_their_own_record(read: Read) -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), unchecked([b"good", DIRTY]))
    rows = read(parquet(pa.table({"text": ["x", "y"], "label": lists})), "parquet", label_column="label")
    assert [row["rule"] for row in rows] == [None, UNDECODABLE]
    assert rows[1]["detail"].startswith("'label' is not utf-8: ")


def test_two_columns_of_one_name_are_refused(read: Read, tmp_path: Path) -> None:
    content = parquet(pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], ["text", "text"]))
    path = tmp_path / "twice.parquet"
    path.write_bytes(content)
    source = Input(name="s", path=str(path), format="parquet")
    with pytest.raises(SettingsError, match=r"inputs\.0\.text_column: .* has 2 columns named 'text', .*; rename"):
        check_columns("c.yaml", "inputs.0", source, str(path))
    with pytest.raises(InputError, match=r"file: found 2 columns named 'text', expected one; rename"):
        read(content, "parquet")
    with pytest.raises(InputError, match=r"file: found 0 columns named 'who', expected one"):
        read(content, "parquet", text_column="who")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_every_type_of_texts_of_parquet_is_read(read: Read, kind: pa.DataType) -> None:
    table = pa.table({"text": pa.array(["x", None, "é" * 20], kind), "who": pa.array(["ann", "bo", None], kind)})
    rows = read(parquet(table), "parquet", group_column="who")
    assert [(row["text"], row["group"], row["rule"]) for row in rows] == [
        ("x", "ann", None),
        (None, "bo", None),
        ("é" * 20, None, None),
    ]


@pytest.mark.parametrize("megabytes", [9, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("file_format", ["text", "text_file", "jsonl", "csv", "tsv", "parquet"])
def test_one_huge_document_comes_out_whole(read: Read, file_format: str, megabytes: int) -> None:
    text = ("word " * 199 + "end, ")[:-1].replace(",", ";") * (megabytes * 1000)
    content = {
        "text": f"{text}\nlast\n",
        "text_file": text,
        "jsonl": f"{json.dumps({'text': text})}\n{json.dumps({'text': 'last'})}\n",
        "csv": f'text,n\n"{text}",1\nlast,2\n',
        "tsv": f"text\tn\n{text}\t1\nlast\t2\n",
    }
    file = content[file_format].encode() if file_format in content else parquet(pa.table({"text": [text, "last"]}))
    for split_bytes in (1 << 30, 1 << 20):
        rows = read(file, file_format, split_bytes=split_bytes)
        assert [len(row["text"]) for row in rows] == [len(text)] + ([4] if file_format != "text_file" else [])
        assert rows[0]["text"] == text
