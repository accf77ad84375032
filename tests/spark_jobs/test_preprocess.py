"""Preprocessing end to end: conservation, the ledger, splits, lanes, and bytes that no layout changes."""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mapring.contract import Manifest, is_published, read_manifest
from mapring.contract.schemas import DROP, SHARD
from mapring.contract.verify import verify
from mapring.errors import InputError, StageError
from mapring.plan import Plan, make_plan
from spark_jobs.preprocess import preprocess
from tests.tiny import write_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


def read_folder(directory: str, manifest: Manifest, folder: str) -> pa.Table:
    return pa.concat_tables([pq.read_table(Path(directory, entry.path)) for entry in manifest.files_below(folder)])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Manifest, dict[str, int]]:
    config, expected = write_world(tmp_path_factory.mktemp("world"))
    plan = make_plan(config)
    preprocess(plan)
    return plan, read_manifest(plan.shards_directory), expected


World = tuple[Plan, Manifest, dict[str, int]]


def test_every_record_is_kept_or_in_the_ledger_with_its_rule(world: World) -> None:
    plan, manifest, expected = world
    counts = manifest.details["counts"]
    assert (counts["read"], counts["kept"]) == (expected.pop("read"), expected.pop("kept"))
    assert counts["dropped"] == expected
    assert counts["read"] == counts["kept"] + sum(counts["dropped"].values())
    kept = read_folder(plan.shards_directory, manifest, "data")
    drops = read_folder(plan.shards_directory, manifest, "drops")
    assert kept.schema == SHARD and drops.schema == DROP
    ids = kept.column("doc_id").to_pylist() + drops.column("doc_id").to_pylist()
    assert len(ids) == len(set(ids)) == counts["read"]
    assert verify(plan.shards_directory) == []


def test_the_ledger_tells_file_line_and_reason(world: World) -> None:
    plan, manifest, _ = world
    rows = read_folder(plan.shards_directory, manifest, "drops").to_pylist()
    by_rule: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_rule.setdefault(row["rule"], []).append(row)
    ragged = next(row for row in by_rule["malformed_record"] if row["source"] == "a")
    assert (ragged["path"], ragged["record"], ragged["detail"]) == ("a.csv", 79, "found 2 fields, expected 3")
    assert ragged["stage"] == "read"
    assert by_rule["undecodable_bytes"][0]["detail"] == "byte 0xff at position 2 is not utf-8"
    assert by_rule["missing_label"][0]["source"] == "b"
    kept = set(read_folder(plan.shards_directory, manifest, "data").column("doc_id").to_pylist())
    for row in by_rule["exact_duplicate"]:
        assert row["kept_doc_id"] in kept and row["similarity"] == 1.0 and row["stage"] == "dedup"


def test_lanes_hold_the_global_order_and_differ_by_at_most_one(world: World) -> None:
    plan, manifest, _ = world
    lanes = manifest.details["lanes"]
    for split in manifest.details["splits"].values():
        tables = [
            [pq.read_table(Path(plan.shards_directory, part["path"])) for part in lane] for lane in split["shards"]
        ]
        sizes = [sum(table.num_rows for table in lane) for lane in tables]
        assert sum(sizes) == split["rows"] and len(sizes) == lanes
        assert all(0 <= left - right <= 1 for left, right in pairwise(sizes))
        for lane in split["shards"]:
            assert all(part["rows"] == 40 for part in lane[:-1]), "only the last shard of a lane is short"
    train = manifest.details["splits"]["train"]
    metadata = pq.read_metadata(Path(plan.shards_directory, train["shards"][0][0]["path"]))
    assert metadata.row_group(0).num_rows == 8


def test_no_text_is_in_two_splits_and_shares_are_near_the_settings(world: World) -> None:
    plan, manifest, _ = world
    texts = {
        split: {
            text
            for lane in details["shards"]
            for part in lane
            for text in pq.read_table(Path(plan.shards_directory, part["path"]), columns=["text"])["text"].to_pylist()
        }
        for split, details in manifest.details["splits"].items()
    }
    assert sum(map(len, texts.values())) == len(set.union(*texts.values())) == manifest.details["counts"]["kept"]
    assert 0.12 < len(texts["test"]) / 303 < 0.28
    assert 0.04 < len(texts["validation"]) / 303 < 0.17


def test_label_ids_and_tokens_belong_to_their_text(world: World) -> None:
    plan, manifest, _ = world
    rows = read_folder(plan.shards_directory, manifest, "data").to_pylist()
    labels = manifest.details["labels"]
    assert labels == ["negative", "neutral", "positive"]
    known = {word: label for label, words in _words().items() for word in words}
    assert all(
        labels[row["label_id"]] == known.get(row["text"].split()[0].lower(), labels[row["label_id"]]) for row in rows
    )
    assert all(2 <= len(row["input_ids"]) <= 32 for row in rows)
    statistics = {entry.path.split("/")[1].split("-")[0]: entry.path for entry in manifest.files_below("stats")}
    counted = pq.read_table(Path(plan.shards_directory, statistics["labels"])).to_pylist()
    assert sum(row["documents"] for row in counted) == len(rows)
    assert sum(row["tokens"] for row in counted) == sum(len(row["input_ids"]) for row in rows)
    lengths = pq.read_table(Path(plan.shards_directory, statistics["lengths"])).to_pylist()
    assert sum(row["documents"] * row["tokens"] for row in lengths) == sum(len(row["input_ids"]) for row in rows)


def _words() -> dict[str, tuple[str, ...]]:
    from tests.tiny import WORDS

    return WORDS


def shard_bytes(directory: str) -> dict[str, str]:
    files = [path for path in Path(directory).rglob("*") if path.is_file() and path.suffix != ".json"]
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


_AGAIN = pytest.mark.slow  # a whole preprocessing more; the layout that is least like the first one is always tried


@pytest.mark.parametrize(
    ("partitions", "split_bytes", "batch"),
    [pytest.param(1, 1 << 26, 5000, marks=_AGAIN), pytest.param(2, 1024, 3, marks=_AGAIN), (7, 1500, 64)],
)
def test_the_same_bytes_whatever_the_partitions(
    world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str], partitions: int, split_bytes: int, batch: int
) -> None:
    plan, manifest, _ = world
    overrides = [f"run_dir={tmp_path}", f"spark.partitions={partitions}", f"spark.split_bytes={split_bytes}"]
    overrides.append(f"spark.conf.spark.sql.execution.arrow.maxRecordsPerBatch={batch}")
    other = make_plan(plan.config, overrides)
    assert other.shards == plan.shards
    preprocess(other)
    told = capfd.readouterr().err
    assert f"sizing: partitions: {partitions} as set (" in told and f"at most {batch} (as set) documents" in told
    again = read_manifest(other.shards_directory)
    assert again.files == manifest.files and again.details == manifest.details
    assert shard_bytes(other.shards_directory) == shard_bytes(plan.shards_directory)


def test_the_golden_bytes_change_only_with_the_algorithm_version(world: World) -> None:
    """When this fails, raise ALGORITHM_VERSION["preprocess"] and set the new digest here."""
    from mapring.lineage import ALGORITHM_VERSION

    _, manifest, _ = world
    digest = hashlib.sha256("".join(sorted(entry.sha256 for entry in manifest.files)).encode()).hexdigest()
    assert (ALGORITHM_VERSION["preprocess"], digest[:16]) == (5, "1e6afc8a6ae79392")


def test_a_second_run_writes_nothing(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    plan, _, _ = world
    before = {path: path.stat().st_mtime_ns for path in Path(plan.shards_directory).rglob("*")}
    preprocess(plan)
    assert {path: path.stat().st_mtime_ns for path in Path(plan.shards_directory).rglob("*")} == before
    assert "already published" in capfd.readouterr().err


def test_a_killed_attempt_leaves_garbage_that_the_next_one_ignores(
    world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan, manifest, _ = world
    other = make_plan(plan.config, [f"run_dir={tmp_path}"])
    data = Path(other.shards_directory, "data")
    data.mkdir(parents=True)
    (data / "train-00000-00000-dead.parquet").write_bytes(b"half")
    (data / ".train-00000-00000-x.parquet.123.tmp").write_bytes(b"half")
    preprocess(other)
    told = capfd.readouterr().err
    assert re.search(
        r"sizing: partitions: 1 \([\d.]+ kB of text estimated from a sample of 4 of 4 files, 2 cores\)", told
    )
    assert re.search(r"sizing: driver memory [\d.]+ GiB of [\d.]+ GiB, Spark's default; .* --driver-memory \d+m", told)
    assert read_manifest(other.shards_directory).files == manifest.files
    assert verify(other.shards_directory) == []


def test_too_much_quarantine_fails_before_anything_is_published(world: World, tmp_path: Path) -> None:
    plan, _, _ = world
    other = make_plan(plan.config, [f"run_dir={tmp_path}", "preprocess.max_quarantined_share=0.005"])
    with pytest.raises(InputError, match=r"3 of 310 records \(1\.0%\) are malformed.*allowed are 0\.5%.*a/a\.csv:79"):
        preprocess(other)
    assert not Path(other.shards_directory, "published.json").exists()


def test_an_input_that_changed_is_not_published_under_what_it_was(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    plan = make_plan(config)
    place = Path(plan.preprocess_sources[0].uri.removeprefix("file://"))
    place.write_bytes(place.read_bytes().replace(b"the", b"eht"))
    with pytest.raises(StageError, match=rf"{place.name}: changed while it was read .* nothing was published"):
        preprocess(plan)
    assert not is_published(plan.shards_directory)
