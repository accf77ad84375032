"""n-grams shared with evaluation files and between splits, against counts made with sets of tuples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql import SparkSession

from mapring.contract import read_manifest
from mapring.contract.verify import verify
from mapring.errors import InputError, SettingsError
from mapring.plan import Plan, make_plan
from mapring.settings.schema import Splits
from spark_jobs.overlap.contamination import _read as read_evaluation
from spark_jobs.overlap.splits import measure_overlap
from spark_jobs.preprocess import preprocess
from spark_jobs.records import document_id
from tests.spark_jobs.formats.archives import page, response
from tests.tiny import config_values, write_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
LENGTH = 4
QUESTION = "which of the rivers in this country is the longest one"
FILLER = "words around it that nobody asks for {}"


def tuples(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + LENGTH]) for i in range(max(1, len(words) - LENGTH + 1))}


def test_the_overlap_of_splits_is_the_count_of_shared_tuples() -> None:
    spark = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()
    words = [f"w{n * n % 53}" for n in range(4000)]
    texts = [" ".join(words[n * 13 % 3900 :][: 3 + n % 20]) + ("" if n % 3 else f" own{n}") for n in range(300)]
    splits = ["test" if n % 7 == 0 else "validation" if n % 11 == 0 else "train" for n in range(300)]
    rows = [(split, document_id(f"{n}"), text) for n, (split, text) in enumerate(zip(splits, texts, strict=True))]
    documents = spark.createDataFrame(rows, "split string, content_hash string, text string").repartition(3)
    found = measure_overlap(documents, Splits(overlap_length=LENGTH))
    assert found is not None and (found["length"], found["unit"]) == (LENGTH, "word")
    train = set.union(*(tuples(text) for split, _, text in rows if split == "train"))
    for name in ("test", "validation"):
        held_out = [tuples(text) for split, _, text in rows if split == name]
        shared = [len(grams & train) for grams in held_out]
        assert 0 < sum(shared) < sum(map(len, held_out))
        assert found[name] == {
            "documents": len(held_out),
            "documents_in_train": sum(count > 0 for count in shared),
            "ngrams": sum(map(len, held_out)),
            "ngrams_in_train": sum(shared),
            "share_of_documents": round(sum(count > 0 for count in shared) / len(held_out), 6),
            "share_of_ngrams": round(sum(shared) / sum(map(len, held_out)), 6),
        }
    assert measure_overlap(documents, Splits(overlap_length=0)) is None
    only_train = measure_overlap(documents.where("split = 'train'"), Splits(overlap_length=LENGTH))
    assert only_train is not None and only_train["test"]["ngrams"] == only_train["test"]["share_of_ngrams"] == 0


def plan_of(root: Path, **decontamination: Any) -> Plan:
    """Documents, and two evaluation files."""
    write_world(root)
    texts = [FILLER.format(n) for n in range(20)]
    texts += [f"{FILLER.format(30)} {QUESTION.upper()}?", f"rivers in this country {FILLER.format(31)}"]
    texts += ["Yes, sir!", "yes sir and more", f"rivers in this country {FILLER.format(31)}"]
    (root / "corpus.txt").write_text("\n".join(texts) + "\n")
    (root / "quiz.jsonl").write_text("".join(json.dumps({"q": text}) + "\n" for text in ["nothing", QUESTION]))
    (root / "short.txt").write_text("yes sir\n\n")
    inputs = [
        {"name": "quiz", "path": str(root / "quiz.jsonl"), "format": "jsonl", "text_column": "q"},
        {"name": "short", "path": str(root / "short.txt"), "format": "text"},
    ]
    values = config_values(root, decontamination={"inputs": inputs, "length": LENGTH, **decontamination}, lanes=2)
    values["preprocess"]["inputs"] = [{"name": "corpus", "path": str(root / "corpus.txt"), "format": "text"}]
    values["preprocess"]["splits"] = {"validation": 0.0, "test": 0.0}
    values["preprocess"]["words"] = {"statistics": False}
    config = root / "clean.yaml"
    config.write_text(yaml.safe_dump(values))
    return make_plan(str(config))


def drops_of(plan: Plan) -> dict[int, dict[str, Any]]:
    files = read_manifest(plan.shards_directory).files_below("drops")
    rows = [row for entry in files for row in pq.read_table(Path(plan.shards_directory, entry.path)).to_pylist()]
    return {row["record"]: row for row in rows}


def test_documents_with_an_ngram_of_an_evaluation_are_dropped_and_the_ledger_says_which(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    preprocess(plan)
    drops = drops_of(plan)
    assert sorted(drops) == [21, 22, 23, 25], "a copy goes too; a short evaluation text is compared whole"
    assert {(row["rule"], row["stage"], row["threshold"]) for row in drops.values()} == {
        ("contaminated", "decontaminate", "0.0")
    }
    asked, here = tuples(QUESTION), tuples(f"{FILLER.format(30)} {QUESTION}")
    assert float(drops[21]["measured"]) == pytest.approx(len(asked) / len(here))
    assert drops[21]["detail"] == f"{len(asked)} of {len(here)} n-grams of 4 words, first in quiz/quiz.jsonl:2"
    assert drops[22]["detail"].startswith("1 of ")
    assert drops[23]["detail"] == "1 of 1 n-grams of 4 words, first in short/short.txt:1"
    manifest = read_manifest(plan.shards_directory)
    assert manifest.details["counts"] == {"read": 25, "kept": 21, "dropped": {"contaminated": 4}}
    assert {entry["path"] for entry in manifest.inputs if entry.get("kind") == "evaluation"} == {
        "quiz.jsonl",
        "short.txt",
    }
    assert verify(plan.shards_directory) == []
    other = make_plan(plan.config, [f"run_dir={tmp_path}/other", "spark.partitions=3"])
    preprocess(other)
    assert read_manifest(other.shards_directory).files == manifest.files


def test_an_official_test_file_can_be_the_evaluation_and_stays(tmp_path: Path) -> None:
    plan_of(tmp_path)
    with (tmp_path / "corpus.txt").open("a") as corpus:
        corpus.write(f"{QUESTION}\n")
    official = f"{{name: official, path: {tmp_path}/quiz.jsonl, format: jsonl, text_column: q, split: test}}"
    corpus_input = f"{{name: corpus, path: {tmp_path}/corpus.txt, format: text}}"
    plan = make_plan(str(tmp_path / "clean.yaml"), [f"preprocess.inputs=[{corpus_input}, {official}]"])
    preprocess(plan)
    drops = drops_of(plan)
    assert sorted(drops) == [21, 22, 23, 25, 26], "an equal text for training goes, the official one stays"
    assert {(row["source"], row["rule"]) for row in drops.values()} == {("corpus", "contaminated")}
    assert read_manifest(plan.shards_directory).details["splits"]["test"]["rows"] == 2


def test_evaluation_files_need_no_labels_and_a_web_archive_may_hold_more_than_pages(tmp_path: Path) -> None:
    plan_of(tmp_path)
    archive = [
        page("http://a/", QUESTION),
        response("u", b"x", status="404 No"),
        response("v", b"x", content_type="a/b"),
    ]
    (tmp_path / "quiz.warc").write_bytes(b"".join(archive))
    web = f"{{name: web, path: {tmp_path}/quiz.warc, format: warc}}"
    quiz = f"{{name: quiz, path: {tmp_path}/quiz.jsonl, format: jsonl, text_column: q, label_column: level}}"
    plan = make_plan(str(tmp_path / "clean.yaml"), [f"preprocess.decontamination.inputs=[{quiz}, {web}]"])
    spark = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()
    rows = read_evaluation(spark, plan.evaluation_sources, plan.settings, 2).select("source", "text").collect()
    assert sorted(map(tuple, rows)) == [("quiz", "nothing"), ("quiz", QUESTION), ("web", QUESTION)]


def test_a_share_can_be_asked_for_and_evaluation_files_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, minimum_share=0.3)
    preprocess(plan)
    assert sorted(record for record, row in drops_of(plan).items() if row["rule"] == "contaminated") == [21, 23]
    (tmp_path / "short.txt").write_text("no sir\n")
    assert make_plan(plan.config).shards != plan.shards


def test_measures_are_stored_of_what_filters_judged_also_where_later_steps_drop_it(tmp_path: Path) -> None:
    plan_of(tmp_path)
    overrides = [
        "preprocess.filters={minimum_words: 3}",
        "preprocess.normalization={keep_lines: true}",
        "preprocess.duplicates.parts={unit: line, minimum_characters: 5}",
    ]
    plan = make_plan(str(tmp_path / "clean.yaml"), overrides)
    preprocess(plan)
    manifest = read_manifest(plan.shards_directory)
    dropped = manifest.details["counts"]["dropped"]
    assert dropped["contaminated"] == 3 and dropped["too_few_words"] == 1
    assert manifest.details["measures"]["judged"] == 25 and verify(plan.shards_directory) == []
    (entry,) = manifest.files_below("measures")
    rules = pq.read_table(Path(plan.shards_directory, entry.path))["rule"].to_pylist()
    assert sorted(rule for rule in rules if rule) == ["too_few_words"]


def test_evaluation_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    plan_of(tmp_path)
    (tmp_path / "quiz.jsonl").write_text('{"q": "a"}\n{broken\n')
    with pytest.raises(InputError, match=r"decontamination.inputs: quiz/quiz.jsonl:2 cannot be read .malformed_record"):
        preprocess(make_plan(str(tmp_path / "clean.yaml")))
    (tmp_path / "quiz.jsonl").write_text("")
    (tmp_path / "short.txt").write_text("...\n")
    with pytest.raises(InputError, match="hold no words"):
        preprocess(make_plan(str(tmp_path / "clean.yaml")))
    (tmp_path / "short.txt").unlink()
    with pytest.raises(SettingsError, match=r"decontamination\.inputs\.1\.path: found no file"):
        make_plan(str(tmp_path / "clean.yaml"))
