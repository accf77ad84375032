"""Inputs of many kinds, end to end: formats, groups, given splits, weights, and files that cannot be split."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from mapring.contract import Manifest, read_manifest
from mapring.contract.verify import verify
from mapring.plan import Plan, make_plan
from spark_jobs.fitting import fit_session
from spark_jobs.preprocess import preprocess
from spark_jobs.sample import take_sample
from spark_jobs.scored_inputs import _read as read_for_scoring
from spark_jobs.session import start_session
from tests.spark_jobs.formats.archives import info, page, response
from tests.spark_jobs.formats.test_compression import zstd
from tests.tiny import config_values, sentence, write_world
from tests.tiny_model import publish_tiny_model

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
SHARED = [f"{sentence(number)[0]} is shared" for number in range(30)]


def write_inputs(root: Path) -> list[dict[str, Any]]:
    """Six sources: web pages, notes, posts by authors, two official files, plain lines."""
    root.mkdir(parents=True, exist_ok=True)
    archive = [
        info(),
        *(page(f"http://{n}/", f"{sentence(n)[0]} page") for n in range(40)),
        response("u", b"x", status="404 No"),
    ]
    archive.append(response("v", b"%PDF", content_type="application/pdf"))
    (root / "web.warc.gz").write_bytes(b"".join(map(gzip.compress, archive)))
    (root / "notes").mkdir()
    for number in range(30):
        (root / "notes" / f"{number}.txt.zst").write_bytes(zstd(f"{sentence(number)[0]}\nnote".encode()))
    (root / "notes" / "empty.txt").write_bytes(b"")
    posts = [{"text": f"{sentence(n)[0]} post", "who": f"author {n % 20}", "when": n} for n in range(200)]
    (root / "posts.jsonl.bz2").write_bytes(bz2.compress("\n".join(map(json.dumps, posts)).encode()))
    official = [f"{text},author {number}" for number, text in enumerate(SHARED[:3])] + [
        f"{text}," for text in SHARED[3:20]
    ]
    (root / "test.csv").write_text("\n".join(["text,who", *official]) + "\n")
    (root / "validation.txt").write_text("\n".join(SHARED[10:]) + "\n")
    (root / "lines.txt.gz").write_bytes(
        gzip.compress("\n".join([*SHARED, *(sentence(n)[0] for n in range(300, 400))]).encode())
    )
    return [
        {"name": "web", "path": str(root / "web.warc.gz"), "format": "warc", "time_column": "WARC-Date", "weight": 0.5},
        {"name": "notes", "path": str(root / "notes"), "format": "text_file"},
        {
            "name": "posts",
            "path": str(root / "posts.jsonl.bz2"),
            "format": "jsonl",
            "group_column": "who",
            "time_column": "when",
        },
        {"name": "official", "path": str(root / "test.csv"), "format": "csv", "group_column": "who", "split": "test"},
        {"name": "held", "path": str(root / "validation.txt"), "format": "text", "split": "validation"},
        {"name": "lines", "path": str(root / "lines.txt.gz"), "format": "text", "weight": 2.0},
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Manifest, list[dict[str, Any]]]:
    """The plan, the manifest, and the kept rows with their splits."""
    root = tmp_path_factory.mktemp("inputs")
    write_world(root)
    values = config_values(root)
    values["preprocess"]["inputs"] = write_inputs(root / "sources")
    values["score"]["inputs"] = [
        {key: value for key, value in source.items() if key in ("name", "path", "format")}
        for source in values["preprocess"]["inputs"]
    ]
    values["spark"]["split_bytes"] = 1024
    (root / "inputs.yaml").write_text(yaml.safe_dump(values))
    plan = make_plan(str(root / "inputs.yaml"))
    preprocess(plan)
    return plan, read_manifest(plan.shards_directory), kept_rows(plan)


World = tuple[Plan, Manifest, list[dict[str, Any]]]


def kept_rows(plan: Plan) -> list[dict[str, Any]]:
    manifest = read_manifest(plan.shards_directory)
    return [
        {**row, "split": entry.path.split("/")[1].split("-")[0]}
        for entry in manifest.files_below("data")
        for row in pq.read_table(Path(plan.shards_directory, entry.path)).to_pylist()
    ]


def test_every_record_of_every_format_is_kept_or_in_the_ledger(world: World) -> None:
    plan, manifest, rows = world
    counts = manifest.details["counts"]
    assert counts["read"] == 42 + 31 + 200 + 20 + 20 + 130
    assert counts["dropped"] == {"empty_text": 1, "exact_duplicate": 40, "http_status": 1, "not_html": 1}
    assert len(rows) == counts["kept"] and verify(plan.shards_directory) == []
    drops = [
        row
        for entry in manifest.files_below("drops")
        for row in pq.read_table(Path(plan.shards_directory, entry.path)).to_pylist()
    ]
    page_missing = next(row for row in drops if row["rule"] == "http_status")
    assert (page_missing["stage"], page_missing["source_id"], page_missing["record"]) == ("read", "u", 42)
    assert page_missing["detail"] == "found status 404, expected 200"
    assert [row["path"] for row in drops if row["rule"] == "empty_text"] == ["empty.txt"]


def test_ids_times_and_groups_are_carried_along(world: World) -> None:
    _, _, rows = world
    web = [row for row in rows if row["source"] == "web"]
    assert {row["source_id"] for row in web} == {f"http://{n}/" for n in range(40)}
    assert {(row["time"], row["group"]) for row in web} == {("2024-01-02T03:04:05Z", None)}
    posts = [row for row in rows if row["source"] == "posts"]
    assert {row["time"] for row in posts} == {str(n) for n in range(200)}
    assert {row["group"] for row in posts} == {f"author {n}" for n in range(20)}


def test_groups_and_given_splits_hold_and_duplicates_stay_where_they_are_protected(world: World) -> None:
    _, _, rows = world
    splits: dict[str, set[str]] = {}
    for row in rows:
        if row["group"] is not None:
            splits.setdefault(row["group"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert [splits[f"author {n}"] for n in range(3)] == [{"test"}] * 3, "drawn along by the official file"
    assert len({next(iter(found)) for found in splits.values()}) > 1
    assert {row["split"] for row in rows if row["source"] == "official"} == {"test"}
    assert {row["split"] for row in rows if row["source"] == "held"} == {"validation"}
    owner = {row["text"]: row["source"] for row in rows if "shared" in row["text"]}
    assert [owner[text] for text in SHARED] == ["official"] * 20 + ["held"] * 10


def test_the_manifest_has_weights_and_rows_of_each_source(world: World) -> None:
    _, manifest, rows = world
    sources = manifest.details["sources"]
    assert {name: source["weight"] for name, source in sources.items()} == {
        "web": 0.5, "notes": 1.0, "posts": 1.0, "official": 1.0, "held": 1.0, "lines": 2.0,
    }  # fmt: skip
    for name, source in sources.items():
        for split, count in source["rows"].items():
            assert count == sum(row["source"] == name and row["split"] == split for row in rows)


@pytest.mark.slow  # a whole preprocessing more
def test_the_same_bytes_whatever_the_partitions(world: World, tmp_path: Path) -> None:
    plan, manifest, _ = world
    other = make_plan(plan.config, [f"run_dir={tmp_path}", "spark.partitions=7", "spark.split_bytes=35000"])
    preprocess(other)
    again = read_manifest(other.shards_directory)
    assert again.files == manifest.files and again.details == manifest.details


def test_scoring_reads_all_formats_and_spreads_what_one_task_read(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    plan, _, _ = world
    small = make_plan(plan.config, ["score.inputs.0.name=web", "spark.partitions=4", "spark.split_bytes=1024"])
    spark = start_session(small.settings, "score")
    sample = take_sample(small.settings.score.inputs, small.score_sources)
    fit_session(spark, "score", small.settings, sample, small.score_sources)
    tokenizer = Path(str(small.settings.preprocess.tokenizer.directory))
    publish_tiny_model(small.scoring_model_directory, tokenizer, small.model)
    records = read_for_scoring(spark, small, small.score_sources, lambda _: None)
    assert records.count() == 42 + 31 + 200 + 20 + 20 + 130
    assert {row["rule"] for row in records.select("rule").distinct().collect()} == {
        None, "empty_text", "http_status", "not_html",
    }  # fmt: skip
    sizes = [len(part) for part in records.select("doc_id").rdd.glom().collect()]
    assert len(sizes) == 4 and max(sizes) < 2 * sum(sizes) / 4
    said = capfd.readouterr().err
    assert "large files cannot be split (the largest is" in said and "spread over all partitions" in said
    small = make_plan(plan.config, ["spark.split_bytes=1000000"])
    read_for_scoring(start_session(small.settings, "score"), small, small.score_sources, lambda _: None)
    assert "cannot be split" not in capfd.readouterr().err
