"""Repeated lines and paragraphs: one occurrence stays, whatever the partitions; equal texts stay equal."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mapring.contract import Manifest, read_manifest
from mapring.contract.verify import verify
from mapring.errors import SettingsError
from mapring.plan import Plan, make_plan
from mapring.settings.dedup import DuplicateParts
from spark_jobs.dedup.parts import PartRemover, parts_of
from spark_jobs.explain import explain
from spark_jobs.preprocess import preprocess
from spark_jobs.records import RECORD, document_id
from tests.tiny import config_values, write_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
LINE = DuplicateParts(unit="line", minimum_characters=5)
FOOTER = "All rights reserved by the publisher of this page"
SHARED = ("They saw the street and the window", "A lovely bright day with a film")
SHORT = "the film"


def batch_of(text: str, gone: list[int], once: list[int]) -> pa.RecordBatch:
    """A record with the hashes of the parts at these positions in its lists."""
    hashes = parts_of(pa.array([text]), LINE).hashes.view("int64").tolist()
    row: dict[str, Any] = dict.fromkeys(RECORD.names) | {"text": text, "content_hash": document_id(text), "record": 1}
    fields = [pa.field(field.name, field.type) for field in RECORD]
    fields += [pa.field(name, pa.list_(pa.int64())) for name in ("gone", "once")]
    row |= {"gone": [hashes[i] for i in gone], "once": [hashes[i] for i in once]}
    return pa.RecordBatch.from_pylist([row], schema=pa.schema(fields))


@given(st.lists(st.sampled_from(["alpha beta", "gamma delta", "", "eps", "zeta eta theta"]), min_size=1, max_size=8))
def test_what_is_removed_and_what_stays_is_the_whole_text(lines: list[str]) -> None:
    text = "\n".join(lines).strip("\n") or "alpha beta"
    lines = text.split("\n")
    place = {line: lines.index(line) for line in ("alpha beta", "gamma delta") if line in lines}
    gone, once = ([place[line]] if line in place else [] for line in ("alpha beta", "gamma delta"))
    [row] = PartRemover(LINE).remove(batch_of(text, gone, once)).to_pylist()
    first = place.get("gamma delta")
    left = [line for i, line in enumerate(lines) if line != "alpha beta" and (line != "gamma delta" or i == first)]
    assert row["parts_removed"] == len(lines) - len(left)
    assert row["characters_removed"] == sum(map(len, lines)) - sum(map(len, left))
    if any(left):
        assert [line for line in (row["text"] or "").split("\n") if line] == [line for line in left if line]
        assert row["content_hash"] == document_id(row["text"]) and row["rule"] is None
    else:
        assert (row["text"], row["rule"], row["measured"], row["threshold"]) == (None, "duplicate_parts", "1", "1")


def test_parts_are_equal_by_their_words_and_too_short_ones_are_never_compared() -> None:
    parts = parts_of(pa.array(["Same words here!\n* same  WORDS here\nabc\n-------", "other"]), LINE)
    assert parts.hashes[0] == parts.hashes[1] and parts.counts.tolist() == [4, 1]
    assert parts.comparable.tolist() == [True, True, False, False, True]


def plan_of(root: Path, texts: list[str], **parts: object) -> Plan:
    """A plan over documents with line breaks."""
    (root / "lines.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    values = config_values(root, duplicates={"parts": parts}, normalization={"keep_lines": True}, lanes=2)
    values["preprocess"]["inputs"] = [{"name": "lines", "path": str(root / "lines.jsonl"), "format": "jsonl"}]
    values["preprocess"]["splits"] = {"validation": 0.0, "test": 0.0}
    values["preprocess"]["words"] = {"statistics": False}
    config = root / "lines.yaml"
    config.write_text(yaml.safe_dump(values))
    return make_plan(str(config))


def rows_of(plan: Plan, manifest: Manifest, folder: str) -> list[dict[str, Any]]:
    paths = [Path(plan.shards_directory, entry.path) for entry in manifest.files_below(folder)]
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def made_documents() -> list[str]:
    own = [f"Words that only document number {n} has in it" for n in range(12)]
    texts = [f"{line}\n{SHORT}\n{SHARED[n % 2]}\n{FOOTER}" for n, line in enumerate(own)]
    texts += [texts[0], f"{FOOTER}\n\n{SHARED[0]}", "A line said twice by one\nA line said twice by one\nand no more"]
    return texts


def test_one_occurrence_of_each_line_stays(tmp_path: Path) -> None:
    write_world(tmp_path)
    plan = plan_of(tmp_path, made_documents(), unit="line")
    preprocess(plan)
    manifest = read_manifest(plan.shards_directory)
    kept = [row["text"] for row in rows_of(plan, manifest, "data")]
    lines = Counter(line for text in kept for line in text.split("\n"))
    assert lines[FOOTER] == lines[SHARED[0]] == lines[SHARED[1]] == 1
    assert lines[SHORT] == 12 and lines["A line said twice by one"] == 2, "short, or in one document only"
    assert manifest.details["counts"]["kept"] + sum(manifest.details["counts"]["dropped"].values()) == 15
    by_record = {row["record"]: row for row in rows_of(plan, manifest, "drops")}
    copies = [record for record in (1, 13) if record in by_record]
    assert len(copies) == 1 and by_record[copies[0]]["rule"] == "exact_duplicate", "equal texts lose the same lines"
    told = manifest.details["duplicate_parts"]
    assert told["unit"] == "line" and told["documents_dropped"] == (14 in by_record) and told["parts"] >= 25
    if 14 in by_record:  # unless it is the first of all
        row = by_record[14]
        assert (row["rule"], row["stage"], row["measured"], row["threshold"]) == ("duplicate_parts", "dedup", "1", "1")
        assert row["detail"] == "2 of 3 lines stand in documents before it"
    story = "\n".join(explain(plan, by_record[copies[0]]["doc_id"]))
    assert "  text before repeated lines were removed (" in story and FOOTER in story
    assert "from the twin to this one (this one before repeated lines were removed): " in story
    twin = by_record[copies[0]]["kept_doc_id"]
    published = next(row["text"] for row in rows_of(plan, manifest, "data") if row["doc_id"] == twin)
    assert f"  text ({len(published)} characters): {published!r}" in "\n".join(explain(plan, twin))
    assert verify(plan.shards_directory) == []


@pytest.mark.slow  # two whole preprocessings
def test_the_same_bytes_whatever_the_partitions(tmp_path: Path) -> None:
    write_world(tmp_path)
    plan = plan_of(tmp_path, made_documents(), unit="line")
    preprocess(plan)
    other = make_plan(plan.config, [f"run_dir={tmp_path}/other", "spark.partitions=3", "spark.split_bytes=1024"])
    preprocess(other)
    manifest, again = read_manifest(plan.shards_directory), read_manifest(other.shards_directory)
    assert again.files == manifest.files and again.details == manifest.details


def test_paragraphs_may_stand_in_some_documents_and_a_share_drops_the_rest(tmp_path: Path) -> None:
    write_world(tmp_path)
    both = f"{SHARED[0]}\n{SHARED[1]}"
    texts = [f"{both}\n\nThe own words of document number {n}" for n in range(4)]
    texts += [f"{FOOTER}\n\nAnother document, number {n}" for n in range(2)]
    plan = plan_of(tmp_path, texts, unit="paragraph", most_documents=2, maximum_share=0.6)
    preprocess(plan)
    manifest = read_manifest(plan.shards_directory)
    kept = [row["text"] for row in rows_of(plan, manifest, "data")]
    assert sum(text.startswith(FOOTER) for text in kept) == 2, "two documents may share a paragraph"
    assert sum(text.startswith(both) for text in kept) == 1 and len(kept) == 3
    drops = rows_of(plan, manifest, "drops")
    assert {row["rule"] for row in drops} == {"duplicate_parts"} and len(drops) == 3
    share = len(both) / len(texts[0].replace("\n\n", ""))
    assert all(float(row["measured"]) == pytest.approx(share, abs=1e-5) for row in drops)
    assert manifest.details["duplicate_parts"] == {
        "unit": "paragraph",
        "documents": 3,
        "documents_dropped": 3,
        "parts": 3,
        "characters": 3 * len(both),
    }


def test_an_official_test_file_keeps_the_lines_that_training_text_repeats(tmp_path: Path) -> None:
    write_world(tmp_path)
    shared = [f"A line of official document number {n} that others repeat" for n in range(4)]
    official = [f"{line}\nOnly the official document number {n} says this" for n, line in enumerate(shared)]
    texts = [f"{shared[n % 4]}\nWords that only document number {n} has in it" for n in range(24)] + official[:1]
    (tmp_path / "official.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in official))
    files = ("{name: lines, path: %s, format: jsonl}", "{name: official, path: %s, format: jsonl, split: test}")
    paths = (tmp_path / "lines.jsonl", tmp_path / "official.jsonl")
    inputs = ", ".join(text % path for text, path in zip(files, paths, strict=True))
    plan = make_plan(plan_of(tmp_path, texts, unit="line").config, [f"preprocess.inputs=[{inputs}]"])
    preprocess(plan)
    manifest = read_manifest(plan.shards_directory)
    rows = rows_of(plan, manifest, "data")
    assert sorted(row["text"] for row in rows if row["source"] == "official") == official
    training = [row["text"] for row in rows if row["source"] == "lines"]
    assert len(training) == 24 and not any("official" in text for text in training)
    assert manifest.details["splits"]["test"]["rows"] == 4
    assert manifest.details["counts"]["dropped"] == {"exact_duplicate": 1}


def test_what_a_dropped_document_held_stays_in_another_one(tmp_path: Path) -> None:
    write_world(tmp_path)
    p, q, r = (f"The paragraph {name} of some length that others repeat" for name in "PQR")
    own = ["Words of the test file alone and of no other", "Words of the training file alone, and enough of them"]
    texts = {"test": [q, r, own[0]], "validation": [p, q, r], "train": [p, own[1]]}
    plan = plan_of(tmp_path, ["unused"], unit="paragraph", minimum_characters=5, maximum_share=0.5)
    values = yaml.safe_load(Path(plan.config).read_text())
    values["preprocess"]["inputs"] = []
    for split, parts in texts.items():
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"text": "\n\n".join(parts)}) + "\n")
        source = {"name": split, "path": str(tmp_path / f"{split}.jsonl"), "format": "jsonl", "split": split}
        values["preprocess"]["inputs"].append(source)
    Path(plan.config).write_text(yaml.safe_dump(values))
    plan = make_plan(plan.config)
    preprocess(plan)
    manifest = read_manifest(plan.shards_directory)
    assert manifest.details["counts"]["dropped"] == {"duplicate_parts": 1}, "the validation file, of which P is left"
    kept = [
        part
        for entry in manifest.files_below("data")
        for row in pq.read_table(Path(plan.shards_directory, entry.path)).to_pylist()
        for part in row["text"].split("\n\n")
    ]
    assert sorted(kept) == sorted([p, q, r, *own])


def test_parts_need_lines(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path, duplicates={"parts": {"unit": "line"}})
    with pytest.raises(SettingsError, match=r"parts\.unit: found line, but there are no lines; set normalization"):
        make_plan(config)
