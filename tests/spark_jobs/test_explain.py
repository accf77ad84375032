"""`mapring explain`: the story of documents that were kept, filtered, quarantined or dropped for a twin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from mapring.contract import read_manifest
from mapring.errors import PublishedError
from mapring.plan import Plan, make_plan
from pipelines.cli import app
from spark_jobs.explain import explain
from spark_jobs.preprocess import preprocess
from spark_jobs.word_diff import word_diff
from tests.spark_jobs.filters.dirty import write_dirty_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    config = write_dirty_world(tmp_path_factory.mktemp("explain"))
    corpus = Path(config).parent / "corpus" / "d.jsonl"
    words = "The river was high in 1900 and we waited 2 days before the boat could cross to the other side"
    extra = [json.dumps({"id": "near1", "text": f"{words} of it."}), '{"id": "mail", "text": "Mail me@x.org."}']
    corpus.write_text(corpus.read_text() + "\n".join(extra) + "\n")
    plan = make_plan(config, ["preprocess.normalization.redact=[email]", "preprocess.duplicates.near.enabled=true"])
    preprocess(plan)
    return plan


def story(plan: Plan, wanted: str) -> str:
    return "\n".join(explain(plan, wanted))


def test_a_kept_document_is_where_the_story_says(plan: Plan) -> None:
    manifest = read_manifest(plan.shards_directory)
    for split, details in manifest.details["splits"].items():
        for lane, parts in enumerate(details["shards"]):
            for part in parts[:1]:
                table = pq.read_table(Path(plan.shards_directory, part["path"]))
                row = table.num_rows - 1
                own, doc_id = table["source_id"][row].as_py(), table["doc_id"][row].as_py()
                told = story(plan, own)
                assert f"kept: split {split}, {part['path']}, lane {lane}, position {row}" in told
                assert story(plan, doc_id) == told and f"document {doc_id}, your id {own}" in told
                assert f"from d/d.jsonl, record {int(own.removeprefix('u')) + 1 if own[0] == 'u' else 95}\n" in told
                assert repr(table["text"][row].as_py()) in told
                assert "too_few_words: words " in told and "dropped it" not in told


def test_a_filtered_document_is_told_with_its_numbers_and_its_text(plan: Plan) -> None:
    told = story(plan, "u80")
    assert "from d/d.jsonl, record 81\n" in told
    assert "dropped at stage filter by rule too_few_words: measured 4, threshold 8" in told
    assert "too_few_words: words 4, at least 8 <- dropped it" in told
    assert "'Too short to keep.'" in told
    assert "  measures (language en, score 0." in told
    german = story(plan, "u82")
    assert "measured 0, threshold" in german and "  measures (language de, score 0.9" in german


def test_what_is_read_again_is_redacted_again(plan: Plan) -> None:
    told = story(plan, "mail")
    assert "Mail <email>" in told and "me@x.org" not in told


def test_a_near_duplicate_is_told_with_its_twin_similarity_and_difference(plan: Plan) -> None:
    stories = [story(plan, name) for name in ("near1", "u0", "u90")]
    told = next(text for text in stories if "near_duplicate" in text)
    assert "dropped at stage dedup by rule near_duplicate" in told and "similarity 0." in told
    assert "kept twin: document " in told and "kept: split " in told
    assert "from the twin to this one: " in told and "side" in told and ("{+" in told or "[-" in told)


def test_an_exact_duplicate_differs_in_no_word(plan: Plan) -> None:
    stories = [story(plan, name) for name in ("u1", "u91")]
    (told,) = [text for text in stories if "exact_duplicate" in text]
    assert "similarity 1.0" in told and "from the twin to this one: no word differs" in told


def test_an_unreadable_record_has_no_text(plan: Plan) -> None:
    drops = read_manifest(plan.shards_directory).files_below("drops")
    rows = pq.read_table(Path(plan.shards_directory, drops[0].path)).to_pylist()
    broken = next(row["doc_id"] for row in rows if row["rule"] == "malformed_record")
    told = story(plan, broken)
    assert "dropped at stage read by rule malformed_record: detail not JSON" in told and "none can be read" in told


def test_an_unknown_id_is_a_clear_error(plan: Plan) -> None:
    with pytest.raises(PublishedError, match=r"nobody: found no document .* searched the \d+ kept and \d+ dropped"):
        story(plan, "nobody")


def test_the_command_prints_the_story_without_spark(plan: Plan, capfd: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(app, ["explain", plan.config, "u80", *plan.overrides])
    assert done.exit_code == 0
    assert capfd.readouterr().out == story(plan, "u80") + "\n"
    done = CliRunner().invoke(app, ["explain", plan.config, "nobody", *plan.overrides])
    assert done.exit_code == 1 and capfd.readouterr().err.startswith("error: nobody: found no document")
    code = "import spark_jobs.explain, sys; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_changed_input_is_said_and_not_shown(plan: Plan) -> None:
    corpus = Path(plan.config).parent / "corpus" / "d.jsonl"
    before = corpus.read_bytes()
    corpus.write_bytes(before.replace(b"Too short", b"Too brief"))
    try:
        changed = make_plan(plan.config, plan.overrides)
        published = Plan(**{**vars(changed), "shards": plan.shards})
        told = story(published, "u80")
        assert "d/d.jsonl has changed since it was preprocessed" in told and "Too brief" not in told
    finally:
        corpus.write_bytes(before)


def test_differences_are_shown_with_words_around_them() -> None:
    assert word_diff("a b c d e f g h", "a b c d x f g h") == "b c d [-e-] {+x+} f g h"
    assert word_diff("a b", "a b") == "no word differs"
    assert word_diff("a", "a b") == "a {+b+}"
    assert word_diff("a", " ".join(f"w{n}" for n in range(100))) == (
        "[-a-] {+w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 (80 more) w90 w91 w92 w93 w94 w95 w96 w97 w98 w99+}"
    )
    assert word_diff("a b\nc", "a  b c") == "no word differs"
    assert word_diff("优点:便宜,配置不差 ok 好", "总结:便宜,配置不差 ok 好") == "[-优点-] {+总结+} :便宜"
