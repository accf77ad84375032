"""The sample of a corpus: near the truth for every format, bounded, and never an error."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mapring.lineage import SourceFile
from mapring.settings import Input
from spark_jobs import sample
from spark_jobs.sample import Sample, take_sample

DOCUMENTS = 4000


def texts(seed: int) -> list[str]:
    generator = random.Random(seed)
    words = ["".join(generator.choices("abcdefghijklmnop", k=generator.randint(2, 9))) for _ in range(900)]
    return [" ".join(generator.choices(words, k=generator.randint(20, 300))) for _ in range(DOCUMENTS // 4)]


def to_jsonl(documents: list[str]) -> bytes:
    lines = (json.dumps({"id": number, "text": text, "more": "x" * 90}) for number, text in enumerate(documents))
    return "\n".join(lines).encode()


def to_csv(documents: list[str]) -> bytes:
    table = io.StringIO()
    csv.writer(table).writerows([("id", "text"), *enumerate(documents)])
    return table.getvalue().encode()


def to_parquet(documents: list[str]) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"id": range(len(documents)), "text": documents})
    pq.write_table(table, sink, compression="zstd", row_group_size=300)
    return sink.getvalue()


def to_warc(documents: list[str]) -> bytes:
    content = b""
    for number, text in enumerate(documents):
        page = f"<html><body><main><p>{text}</p></main></body></html>".encode()
        block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
        head = (
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number}>\r\nWARC-Target-URI: http://a/\r\n"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
        )
        content += head.encode() + block + b"\r\n\r\n"
    return content


def listing(folder: Path, name: str = "s") -> list[SourceFile]:
    return [SourceFile(name, str(path), path.name, path.stat().st_size, "") for path in sorted(folder.iterdir())]


def take(folder: Path, file_format: str) -> Sample:
    return take_sample([Input(name="s", path=str(folder), format=file_format)], listing(folder))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("file_format", "end", "write"),
    [
        ("text", "", lambda documents: "\n".join(documents).encode()),
        ("jsonl", "", to_jsonl),
        ("jsonl", ".gz", lambda documents: gzip.compress(to_jsonl(documents), 1)),
        ("jsonl", ".bz2", lambda documents: bz2.compress(to_jsonl(documents))),
        ("jsonl", ".zst", lambda documents: pa.compress(to_jsonl(documents), "zstd", asbytes=True)),
        ("csv", "", to_csv),
        ("parquet", "", to_parquet),
        ("warc", ".gz", lambda documents: gzip.compress(to_warc(documents), 1)),
    ],
)
def test_it_is_near_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str, end: str, write: Callable[[list[str]], bytes]
) -> None:
    monkeypatch.setattr(sample, "_MOST_BYTES", 1 << 20)  # a quarter of each file is read
    parts = [texts(seed) for seed in range(4)]
    for number, documents in enumerate(parts):
        (tmp_path / f"{number}.{file_format}{end}").write_bytes(write(documents))
    found = take(tmp_path, file_format)
    assert (found.sampled, found.files) == (4, 4)
    true = sum(len(text) for documents in parts for text in documents)
    assert found.text_bytes == pytest.approx(true, rel=0.2)
    assert found.documents == pytest.approx(DOCUMENTS, rel=0.2)
    assert found.content_bytes >= found.text_bytes * 0.99
    longest = max(len(text) for documents in parts for text in documents)
    assert found.mean_document <= found.largest_document <= longest + 8


def test_documents_that_are_files_are_counted_in_the_listing(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number}.txt.gz").write_bytes(gzip.compress(b"a word or two " * (10 + 20 * number), mtime=0))
    found = take(tmp_path, "text_file")
    assert (found.sampled, found.files, found.documents) == (8, 60, 60)
    assert found.text_bytes == pytest.approx(sum(14 * (10 + 20 * number) for number in range(60)), rel=0.4)


def test_a_record_that_is_larger_than_the_sample_is_a_large_document(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_bytes(json.dumps({"text": "x" * 9_000_000}).encode())
    found = take(tmp_path, "jsonl")
    assert found.text_bytes == pytest.approx(9_000_000, rel=0.01)
    assert found.largest_document == 4 << 20 and found.mean_document > 4 << 20


def test_few_bytes_are_read_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        with (tmp_path / f"{number:02}.txt").open("wb") as handle:
            handle.write(b"a line of text\n" * 50_000)
            handle.truncate(1 << 33)  # sparse: 8 GiB that nobody could read in a second
    found = take(tmp_path, "text")
    assert found.sampled == 8 and found.files == 12
    assert found.content_bytes == pytest.approx(12 << 33, rel=0.01)


def test_every_input_has_its_own_measure(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for number in range(20):
        (tmp_path / "a" / f"{number}.txt").write_bytes(b"short\n" * 1000)
    (tmp_path / "b" / "one.jsonl").write_bytes(json.dumps({"text": "x" * 100, "more": "y" * 890}).encode())
    inputs = [
        Input(name="a", path=str(tmp_path / "a"), format="text"),
        Input(name="b", path=str(tmp_path / "b"), format="jsonl"),
    ]
    found = take_sample(inputs, [*listing(tmp_path / "a", "a"), *listing(tmp_path / "b", "b")])
    assert (found.sampled, found.files) == (8, 21)
    assert found.text_bytes == 20 * 5000 + 100 and found.documents == 20_001 and found.largest_document == 100


@pytest.mark.parametrize(
    ("name", "content", "file_format"),
    [
        ("a.jsonl.gz", b"nonsense" * 20, "jsonl"),
        ("a.parquet", b"nonsense" * 20, "parquet"),
        ("a.warc", b"nonsense" * 20, "warc"),
        ("a.jsonl", b"", "jsonl"),
        ("a.jsonl", b"no json\n" * 20, "jsonl"),
    ],
)
def test_what_cannot_be_read_is_left_to_the_task_that_reads_it(
    tmp_path: Path, name: str, content: bytes, file_format: str
) -> None:
    (tmp_path / name).write_bytes(content)
    found = take(tmp_path, file_format)
    assert found.files == 1 and found.text_bytes == len(content)
