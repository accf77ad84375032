"""An id is a position: what stands there after a change of the file is another document."""

from __future__ import annotations

from spark_jobs.forgetting.documents import Document
from spark_jobs.records import document_id


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
