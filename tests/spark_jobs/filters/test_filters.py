"""Filters end to end through Spark: the ledger, the stored measures, and bytes that no layout changes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mapring.contract import Manifest, read_manifest
from mapring.contract.schemas import MEASURED
from mapring.contract.verify import verify
from mapring.filter_rules import judge, measures_of, rules_of
from mapring.plan import Plan, make_plan
from spark_jobs.preprocess import preprocess
from tests.spark_jobs.filters.dirty import write_dirty_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
EXPECTED = {
    "too_few_words": 2,
    "language": 3,
    "blocklist": 1,
    "gopher_top_2_grams": 1,
    "c4_curly_brackets": 1,
    "c4_lorem_ipsum": 1,
    "too_many_characters": 1,
    "exact_duplicate": 2,
    "malformed_record": 1,
    "empty_text": 1,
}


def read(directory: str, manifest: Manifest, folder: str) -> pa.Table:
    return pa.concat_tables([pq.read_table(Path(directory, entry.path)) for entry in manifest.files_below(folder)])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Manifest]:
    plan = make_plan(write_dirty_world(tmp_path_factory.mktemp("dirty")))
    preprocess(plan)
    return plan, read_manifest(plan.shards_directory)


World = tuple[Plan, Manifest]


def test_every_kind_of_filter_drops_and_the_ledger_tells_what_it_saw(world: World) -> None:
    plan, manifest = world
    counts = manifest.details["counts"]
    assert counts["dropped"] == dict(sorted(EXPECTED.items()))
    assert counts["read"] == counts["kept"] + sum(EXPECTED.values()) == 94
    drops = {row["source_id"]: row for row in read(plan.shards_directory, manifest, "drops").to_pylist()}
    found = {name: (row["stage"], row["rule"], row["measured"], row["threshold"]) for name, row in drops.items()}
    assert found["u80"] == ("filter", "too_few_words", "4", "8")
    assert found["u82"] == ("filter", "language", "0", "0.65")
    assert found["u85"] == ("filter", "blocklist", "1", "0")
    assert found["u87"] == ("filter", "c4_curly_brackets", "2", "0")
    assert found["u88"] == ("filter", "c4_lorem_ipsum", "1", "0")
    characters = len(
        " ".join(f"It was a fine day in the year {1000 + year} and nobody complained." for year in range(12))
    )
    assert found["u89"] == ("filter", "too_many_characters", str(characters), "600")
    assert found["u86"][1] == "gopher_top_2_grams" and float(found["u86"][2] or 0) > 0.2
    assert found["u86"][3] == "0.2"


def test_the_measures_of_every_judged_document_are_stored_once_in_order(world: World) -> None:
    plan, manifest = world
    names = measures_of(rules_of(plan.settings.preprocess.filters))
    table = read(plan.shards_directory, manifest, "measures")
    assert table.column_names == [*MEASURED.names, *names]
    assert {table.schema.field(name).type for name in names} == {pa.float32()}
    ids = table.column("doc_id").to_pylist()
    assert ids == sorted(set(ids)) and len(ids) == 92  # all but the broken and the blank line
    assert manifest.details["measures"] == {"judged": 92, "names": list(names)}
    dropped = Counter(rule for rule in table.column("rule").to_pylist() if rule is not None)
    assert dropped == {rule: count for rule, count in EXPECTED.items() if rule in _rule_names(plan)}


def _rule_names(plan: Plan) -> set[str]:
    return {rule.name for rule in rules_of(plan.settings.preprocess.filters)}


def test_stored_measures_give_the_published_verdicts_again(world: World) -> None:
    plan, manifest = world
    settings = plan.settings.preprocess.filters
    rules = rules_of(settings)
    table = read(plan.shards_directory, manifest, "measures").combine_chunks()
    stored = {name: table.column(name).to_numpy() for name in measures_of(rules)}
    languages = table.column("language").combine_chunks()
    verdict, _ = judge(stored, languages, rules, settings, table.num_rows)
    expected = [None if position < 0 else rules[position].name for position in verdict]
    assert table.column("rule").to_pylist() == expected
    assert all(np.isfinite(values).all() for values in stored.values())


def test_verify_notices_missing_measures(world: World) -> None:
    plan, manifest = world
    assert verify(plan.shards_directory) == []
    from mapring.contract.verify import _check_counts

    details = {**manifest.details, "measures": {**manifest.details["measures"], "judged": 93}}
    changed = Manifest(**{**vars(manifest), "details": details})
    assert ["judged = rows of measures/" in problem for problem in _check_counts("d", changed)] == [True]


@pytest.mark.slow  # a whole preprocessing more
@pytest.mark.parametrize(("partitions", "split_bytes"), [(1, 1 << 26), (5, 1024)])
def test_the_same_bytes_whatever_the_partitions(
    world: World, tmp_path: Path, partitions: int, split_bytes: int
) -> None:
    plan, manifest = world
    overrides = [f"run_dir={tmp_path}", f"spark.partitions={partitions}", f"spark.split_bytes={split_bytes}"]
    other = make_plan(plan.config, overrides)
    preprocess(other)
    assert read_manifest(other.shards_directory).files == manifest.files


def test_without_filters_no_measures_are_stored(world: World, tmp_path: Path) -> None:
    plan, _ = world
    other = make_plan(plan.config, [f"run_dir={tmp_path}", "preprocess.filters={}"])
    preprocess(other)
    manifest = read_manifest(other.shards_directory)
    assert manifest.details["measures"] is None and manifest.files_below("measures") == []
    assert verify(other.shards_directory) == []


def test_several_files_are_in_the_order_of_the_ids(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, manifest = world
    monkeypatch.setattr("spark_jobs.filters.storing._ROWS_PER_FILE", 30)
    other = make_plan(plan.config, [f"run_dir={tmp_path}"])
    preprocess(other)
    again = read_manifest(other.shards_directory)
    assert len(again.files_below("measures")) == 4
    assert read(other.shards_directory, again, "measures").equals(read(plan.shards_directory, manifest, "measures"))
