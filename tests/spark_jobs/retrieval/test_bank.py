"""Texts answered from a bank through Spark: golden templates, ties, changed banks, thresholds, indexes, damage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltalake import DeltaTable

import mapring
from mapring.contract import is_published, read_manifest
from mapring.contract.schemas import score_schema
from mapring.contract.verify import verify
from mapring.errors import InputError, PublishedError, SettingsError, StageError
from mapring.plan import Plan, make_plan
from mapring.settings.answers import Answers
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import Predictor
from spark_jobs.retrieval import stage
from spark_jobs.score import score
from tests.tiny import write_world
from tests.tiny_modes import TEXTS, publish_made
from tests.training.tiny_plan import WORDS

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


def write_bank(root: Path, texts: Sequence[str], *, first: int = 0) -> None:
    lines = [{"id": f"t{first + place:04d}", "text": text, "kind": f"k{place % 3}"} for place, text in enumerate(texts)]
    (root / "bank.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in reversed(lines)))


def plan_of(root: Path, *overrides: str) -> Plan:
    config, _ = write_world(root)
    (root / "unseen.txt").write_text("\n".join(TEXTS) + "\n")
    bank = f"{{name: faq, path: {root}/bank.jsonl, format: jsonl, id_column: id, label_column: kind}}"
    words = ("train.task=embed", "score.mode=retrieve", f"score.retrieval.bank=[{bank}]", "score.retrieval.top_k=3")
    return make_plan(config, [*words, *overrides])


def rows_of(plan: Plan) -> list[dict[str, Any]]:
    table = DeltaTable(plan.run.scores).to_pyarrow_table()
    assert table.schema.names == score_schema("retrieve").names
    return sorted(table.to_pylist(), key=lambda row: row["record"])


def test_templates_find_themselves_and_equal_ones_come_by_id(tmp_path: Path) -> None:
    distinct = list(dict.fromkeys(text for text in TEXTS if len(text.split()) < 14))  # longer ones are cut to one
    write_bank(tmp_path, [*distinct, *distinct[:5]])  # the last five say what the first five say
    plan = plan_of(tmp_path)
    publish_made(Path(plan.model_directory), "embed", fingerprint=plan.model)
    score(plan)
    bank = plan.run.bank(str(plan.bank))
    assert verify(bank) == []
    counts = read_manifest(bank).details["counts"]
    assert counts == {"templates": len(distinct) + 5, "vectors": len(distinct)}
    vectors, _ = predict_columns(Predictor(plan.model_directory), distinct, Answers())
    similarities = np.array(vectors["embedding"], np.float64) @ np.array(vectors["embedding"], np.float64).T
    for row, text in zip(rows_of(plan), TEXTS, strict=True):
        if text not in distinct:
            continue
        place = distinct.index(text)
        assert row["answer"] == row["answers"][0]["id"] == f"t{place:04d}"
        assert row["label"] == f"k{place % 3}" and row["abstained"] is False
        assert row["score"] == pytest.approx(1, abs=1e-5)
        if place < 5:
            assert row["answers"][1] == {"id": f"t{place + len(distinct):04d}", "score": row["answers"][0]["score"]}
        else:
            expected = np.sort(np.concatenate([similarities[place], similarities[place, :5]]))[::-1][:3]
            np.testing.assert_allclose([answer["score"] for answer in row["answers"]], expected, atol=1e-5)


def test_a_changed_bank_or_threshold_scores_again_and_the_same_one_does_not(tmp_path: Path) -> None:
    write_bank(tmp_path, TEXTS[:6])
    plan = plan_of(tmp_path)
    publish_made(Path(plan.model_directory), "embed", fingerprint=plan.model)
    score(plan)
    [first] = {row["settings_fingerprint"] for row in rows_of(plan)}
    scored_at = {row["scored_at"] for row in rows_of(plan)}
    score(plan_of(tmp_path))
    assert {row["scored_at"] for row in rows_of(plan)} == scored_at, "nothing to do"
    strict = plan_of(tmp_path, "score.retrieval.abstain_below=0.999")
    assert strict.bank == plan.bank, "how many answer, and which, has no part in the bank"
    score(strict)
    rows = rows_of(strict)
    assert {row["settings_fingerprint"] for row in rows} != {first}
    assert [row["abstained"] for row in rows] == [row["score"] < 0.999 for row in rows]
    withheld = [row for row in rows if row["abstained"]]
    assert withheld and all(row["answer"] is row["label"] is None and len(row["answers"]) == 3 for row in withheld)
    write_bank(tmp_path, TEXTS[1:7], first=1)
    other = plan_of(tmp_path, "score.retrieval.abstain_below=0.999")
    assert other.bank != plan.bank
    score(other)
    assert {row["answer"] for row in rows_of(other)} - {None} == {f"t{place:04d}" for place in range(1, 7)}


def test_banks_have_the_same_bytes_and_answers_whatever_the_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BLOCK_ROWS", 7)
    write_bank(tmp_path, TEXTS)
    found = []
    for run, partitions in (("a", 1), ("b", 3)):
        plan = plan_of(
            tmp_path, f"run_dir={tmp_path}/{run}", f"spark.partitions={partitions}", "spark.split_bytes=1024"
        )
        publish_made(Path(plan.model_directory), "embed", fingerprint=plan.model)
        score(plan)
        files = read_manifest(plan.run.bank(str(plan.bank))).files
        found.append((files, [(row["answers"], row["answer"]) for row in rows_of(plan)]))
    assert len(found[0][0]) > 10, "several blocks"
    assert found[0] == found[1]


def test_above_a_size_an_index_answers_whose_recall_is_published(tmp_path: Path) -> None:
    write_bank(tmp_path, [f"{one} {two} {one}" for one in WORDS for two in WORDS][:400])
    exact, indexed = plan_of(tmp_path), plan_of(tmp_path, "score.retrieval.library_above=150")
    publish_made(Path(exact.model_directory), "embed", fingerprint=exact.model)
    score(exact)
    expected = [row["answer"] for row in rows_of(exact)]
    score(indexed)
    index = read_manifest(indexed.run.bank(str(indexed.bank))).details["index"]
    assert 0.99 <= index["recall"] <= 1 and set(index["recalls"]) == {"vectors", "between"}
    found = [row["answer"] for row in rows_of(indexed)]
    assert np.mean([one == other for one, other in zip(found, expected, strict=True)]) >= 0.95
    assert verify(indexed.run.bank(str(indexed.bank))) == []


def test_an_index_without_its_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    from spark_jobs.retrieval.index import build_index

    blocks = [np.eye(8, dtype=np.float32)]
    with pytest.raises(StageError, match=r"install mapring\[faiss\]"):
        build_index(blocks, np.arange(8), min_recall=0.9, threads=1)


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ([{"id": "a", "text": "good", "kind": "k"}] * 2, "ids 'a' more than once"),
        ([{"id": "a", "text": "good", "kind": "k"}, {"id": "b", "text": " ", "kind": "k"}], "bank.jsonl:2 empty_text"),
        ([{"id": "a", "text": "good", "kind": ""}], "bank.jsonl:1 missing_label"),
    ],
)
def test_banks_that_are_not_sound_are_refused_and_nothing_is_published(
    tmp_path: Path, lines: list[dict[str, str]], match: str
) -> None:
    (tmp_path / "bank.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    plan = plan_of(tmp_path)
    publish_made(Path(plan.model_directory), "embed", fingerprint=plan.model)
    with pytest.raises(InputError, match=match):
        score(plan)
    assert not is_published(plan.run.bank(str(plan.bank)))


def test_a_bank_of_another_model_or_that_was_damaged_is_refused(tmp_path: Path) -> None:
    write_bank(tmp_path, TEXTS[:6])
    plan = plan_of(tmp_path)
    publish_made(Path(plan.model_directory), "embed", fingerprint=plan.model)
    score(plan)
    directory = plan.run.bank(str(plan.bank))
    manifest = read_manifest(plan.model_directory)
    from dataclasses import replace

    from spark_jobs.retrieval.bank import Bank

    with pytest.raises(PublishedError, match="expected one of 0000"):
        Bank(directory, replace(manifest, fingerprint="0" * 16), 1)
    bank = Bank(directory, manifest, 1)
    embeddings = np.array(bank.golden.column("embedding").to_pylist(), np.float32)
    bank.check(embeddings)
    with pytest.raises(PublishedError, match="finds"):
        bank.check(-embeddings)
    vectors = next(Path(directory).glob("vectors-*"))
    vectors.write_bytes(vectors.read_bytes()[:-4])
    with pytest.raises(PublishedError, match="the bank was damaged"):
        Bank(directory, manifest, 1)
    assert verify(directory)


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_bank(tmp_path, TEXTS[:6])
    with pytest.raises(SettingsError, match="found it with mode embed, expected retrieve"):
        plan_of(tmp_path, "score.mode=embed")
    with pytest.raises(SettingsError, match="found none with mode retrieve"):
        plan_of(tmp_path, "score.retrieval=null")
    with pytest.raises(SettingsError, match="second_text_column"):
        plan_of(tmp_path, "score.retrieval.bank.0.second_text_column=kind")
    publish_made(tmp_path / "m", "embed")
    with pytest.raises(SettingsError, match="whose bank `mapring score` publishes"):
        bank = [{"name": "a", "path": "a", "format": "text"}]
        mapring.predict_udf(str(tmp_path / "m"), mode="retrieve", retrieval={"bank": bank})
