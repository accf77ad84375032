"""An id is a position: what stands there after a change of the file is another document."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from mapring import contract
from mapring.care.standing import generations
from spark_jobs.forgetting.documents import Document, Documents
from spark_jobs.forgetting.lineage import rankings_with
from spark_jobs.records import document_id
from spark_jobs.tables import parquet_bytes


def test_what_nothing_is_known_of_is_what_is_found_first() -> None:
    assert Document(doc_id="d").may_be({"any"}, "h")


def test_a_document_is_known_by_its_file_or_its_text() -> None:
    known = Document(doc_id="d", identity="i", texts={"a text"}, hashes={"h"})
    assert known.may_be({"i", "other"}) and known.may_be({"i"}, "another text's")
    assert known.may_be({"other"}, "h") and known.may_be({"other"}, document_id("a text"))
    assert not known.may_be({"other"}) and not known.may_be({"other"}, document_id("another text"))


def test_one_of_older_shards_whose_file_is_not_known_is_known_by_its_text_alone() -> None:
    known = Document(doc_id="d", texts={"a text"})
    assert known.may_be(set(), document_id("a text"))
    assert not known.may_be({""}) and not known.may_be({None}, document_id("what stands there now"))


def test_a_ranking_with_a_row_of_the_document_is_found(tmp_path: Path) -> None:
    for name, doc_id in (("a" * 16, "d"), ("b" * 16, "other")):
        directory = str(tmp_path / "ranked" / name)
        content = parquet_bytes(pa.table({"doc_id": [doc_id], "content_hash": ["h"]}), 1)
        entry = contract.write_file(directory, f"data/{contract.content_name('r', content, '.parquet')}", content, 1)
        manifest = contract.Manifest(
            kind="ranked",
            fingerprint=name,
            created=contract.utc_now(),
            code_version="test",
            settings={},
            inputs=(),
            files=(entry,),
        )
        contract.publish(directory, manifest)
    found = tuple(generations(str(tmp_path)))
    by_id, by_text = Documents(d=Document(doc_id="d")), Documents(x=Document(doc_id="x", hashes={"h"}))
    assert rankings_with(found, by_id) == [str(tmp_path / "ranked" / ("a" * 16))]
    assert len(rankings_with(found, by_text)) == 2
