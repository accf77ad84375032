"""Records of forgotten documents: digests only, once, and a place counts only in the file that it was a place of."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from mapring import storage
from mapring.care.forgotten import (
    ForgottenDocument,
    digest,
    exclusion,
    models_that_saw,
    place_digest,
    read_forgotten,
    remember,
    remember_model,
    set_digest,
)

ONE = ForgottenDocument(
    doc_id="d1",
    place=place_digest("shop", "a.csv"),
    identity="sha256:1",
    hashes=("h1", "h2"),
    source_id=digest("customer 7"),
    of_corpus=True,
)


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}"


def test_what_is_remembered_is_read_again_and_counted_once(root: str) -> None:
    other = replace(ONE, doc_id="d2")
    assert read_forgotten(root) == () and set_digest(()) == ""
    assert [remember(root, [ONE]), remember(root, [ONE, other]), remember(root, [other, ONE])] == [1, 1, 0]
    assert set(read_forgotten(root)) == {ONE, other}
    assert set_digest([ONE, other]) == set_digest([other, ONE]) != set_digest([ONE])


def test_records_hold_nothing_of_your_own_id_and_know_it_all_the_same(root: str) -> None:
    remember(root, [ONE])
    [file] = storage.list_stored(storage.join(root, "forgotten"))
    assert b"customer" not in storage.read_bytes(file.uri) and b"a.csv" not in storage.read_bytes(file.uri)
    assert ONE.is_known_as("customer 7") and ONE.is_known_as("d1") and not ONE.is_known_as("")
    assert not replace(ONE, source_id="").is_known_as("")


def test_a_blank_text_is_nobody_s() -> None:
    blank = replace(ONE, hashes=("h1", digest("")))
    assert exclusion([blank], {}).hashes == {"h1"}
    assert not exclusion([replace(blank, hashes=(digest(""),))], {})


def test_a_place_counts_in_the_same_file_only_and_a_text_wherever_it_is() -> None:
    same = exclusion([ONE], {ONE.place: "sha256:1", place_digest("shop", "b.csv"): "sha256:1"})
    assert same.doc_ids == {"d1"} and same.hashes == {"h1", "h2"} and same
    changed = exclusion([ONE], {ONE.place: "sha256:2"})
    assert changed.doc_ids == frozenset() and changed.hashes == {"h1", "h2"}, "another line may stand there now"
    assert not exclusion([], {})


def test_what_models_saw_is_known_after_their_shards_are_gone(root: str) -> None:
    for _ in range(2):
        remember_model(root, "d1", "m1", "was trained on it")
    remember_model(root, "d1", "m2", "was evaluated on it")
    remember_model(root, "d2", "m3", "was trained on it")
    assert models_that_saw(root, frozenset({"d1"})) == {"m1": {"was trained on it"}, "m2": {"was evaluated on it"}}


def test_what_a_kill_left_of_a_record_is_passed_over(root: str) -> None:
    remember(root, [ONE])
    remember_model(root, "d1", "m1", "was trained on it")
    for folder in ("documents", "models"):
        storage.create(storage.join(root, "forgotten", folder, f".a.json.{uuid.uuid4().hex}.tmp"), b"")
    assert read_forgotten(root) == (ONE,)
    assert models_that_saw(root, frozenset({"d1"})) == {"m1": {"was trained on it"}}
