"""`mapring migrate`: tables of earlier versions get their columns by one commit, killed or not; readers see nulls."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.transaction import AddAction, create_table_with_add_actions
from typer.testing import CliRunner

from mapring.contract import write_file
from mapring.contract.schemas import score_schema
from mapring.errors import PublishedError, StageError
from mapring.plan import Plan, make_plan
from mapring.scores.migrations import version_of
from mapring.scores.seal import seal, sealed_versions
from mapring.scores.statistics import file_statistics
from mapring.scores.table import read_table
from mapring.scores.verify import verify_scores
from mapring.scores.work import find_work
from mapring.settings.combinations import ModeName
from pipelines import migrate as module
from pipelines.cli import app
from pipelines.migrate import migrate
from spark_jobs.score import _check_columns
from spark_jobs.tables import parquet_bytes
from tests.mapring.care.test_removal import Killed
from tests.mapring.scores.test_migrations import older
from tests.mapring.test_contract_migrations import first_manifest, publish_value
from tests.pipelines.committed import commit_answers
from tests.tiny import write_world


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(write_world(tmp_path)[0])


def write_table(plan: Plan, schema: pa.Schema) -> None:
    """A table of two rows as an earlier mapring committed and sealed it."""
    [file] = plan.score_sources
    row = {field.name: "x" for field in schema if field.type == pa.string()}
    row |= {"source": file.source, "path": file.relative, "record": 1, "scored_at": 0, "score": 0.5, "error": None}
    if "input_identity" in schema.names:
        row |= {"input_identity": file.identity, "settings_fingerprint": "older", "model_fingerprint": plan.model}
    rows = pa.Table.from_pylist([{**row, "doc_id": name} for name in "ab"], schema=schema)
    content = parquet_bytes(rows, 10)
    entry = write_file(plan.run.scores, "data/part.parquet", content)
    statistics = json.dumps(file_statistics(rows)) if "input_identity" in schema.names else json.dumps({})
    metadata = {"mapring.run_id": "r", "mapring.model": plan.model, "mapring.docs_per_second": "1"}
    metadata |= {"mapring.counts": '{"read": 2, "scored": 2, "errors": {}}', "mapring.inputs": "1"}
    create_table_with_add_actions(
        plan.run.scores,
        Schema.from_arrow(schema),
        [AddAction(entry.path, entry.bytes, {}, int(time.time() * 1000), True, statistics)],
        commit_properties=CommitProperties(custom_metadata=metadata),
    )
    seal(plan.run.scores, 0)


@pytest.mark.parametrize(("version", "mode"), [(2, "classify"), (3, "classify"), (4, "answer"), (4, "retrieve")])
def test_an_older_table_gets_its_columns_by_one_commit(
    plan: Plan, version: int, mode: ModeName, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(plan, older(version, mode))
    uri = plan.run.scores
    migrate(plan.config, dry_run=True)
    assert f"would bring the scores table from version {version} to 5" in capsys.readouterr().err
    assert DeltaTable(uri).version() == 0
    migrate(plan.run.root, dry_run=False)
    table = read_table(uri)
    assert table is not None and version_of(table.columns) == 5 and table.version == 1 and table.rows == 2
    rows = DeltaTable(uri).to_pyarrow_table().to_pylist()
    added = set(score_schema(mode).names) - set(older(version, mode).names)
    assert [row["doc_id"] for row in rows] == ["a", "b"] and {row[name] for row in rows for name in added} == {None}
    assert {row["label"] for row in rows} == {"x"} and set(rows[0]) == set(score_schema(mode).names)
    assert len(list(Path(uri, "data").iterdir())) == 1, "no file was written again"
    assert verify_scores(uri) == [] and sealed_versions(uri) == {0, 1}
    migrate(plan.config, dry_run=False)
    assert DeltaTable(uri).version() == 1 and "is of version 5, as this mapring writes it" in capsys.readouterr().err


def test_rows_of_this_version_come_in_beside_older_ones(plan: Plan) -> None:
    write_table(plan, older(3))
    migrate(plan.config, dry_run=False)
    uri = plan.run.scores
    older_rows = pa.table(DeltaTable(uri).to_pyarrow_table())
    assert older_rows.schema.names != score_schema("classify").names, "new columns are the last ones"
    older_rows = older_rows.select(score_schema("classify").names).cast(score_schema("classify"))
    new = older_rows.set_column(0, older_rows.schema.field(0), pa.array(["n", "m"]))
    entry = write_file(uri, "data/new.parquet", parquet_bytes(new, 10))
    add = AddAction(entry.path, entry.bytes, {}, 0, True, json.dumps({"numRecords": 2}))
    DeltaTable(uri).create_write_transaction([add], "append", Schema.from_arrow(score_schema("classify")))
    rows = DeltaTable(uri).to_pyarrow_table()
    assert rows.num_rows == 4 and set(rows.column_names) == set(score_schema("classify").names)


def test_killed_before_the_seal_the_same_command_ends_the_same(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(plan, older(3))

    def killed(_uri: str, _version: int) -> None:
        raise Killed

    monkeypatch.setattr(module, "seal", killed)
    with pytest.raises(Killed):
        migrate(plan.config, dry_run=False)
    monkeypatch.undo()
    assert verify_scores(plan.run.scores) == []
    migrate(plan.config, dry_run=True)
    assert sealed_versions(plan.run.scores) == {0}, "what is only told writes nothing"
    migrate(plan.config, dry_run=False)
    assert sealed_versions(plan.run.scores) == {0, 1} and DeltaTable(plan.run.scores).version() == 1


def test_scoring_beside_rows_of_an_older_table_names_the_command(plan: Plan) -> None:
    write_table(plan, older(3))
    table, work = find_work(plan)
    with pytest.raises(StageError, match=r"found a table of an earlier mapring.*run `mapring migrate .*tiny.yaml`"):
        _check_columns(plan, table, replace(work, leaving=frozenset()))
    migrate(plan.config, dry_run=False)
    _check_columns(plan, read_table(plan.run.scores), replace(work, leaving=frozenset()))


def test_what_cannot_be_migrated_is_told_with_its_reason(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(plan, older(1))
    with pytest.raises(StageError, match="table of the first mapring"):
        read_table(plan.run.scores)
    with pytest.raises(PublishedError, match=r"1 things cannot be migrated: .*table of the first mapring"):
        migrate(plan.config, dry_run=False)
    assert CliRunner().invoke(app, ["migrate", plan.config]).exit_code == 1


def test_what_is_no_run_directory_is_refused(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for target in (tmp_path / "no/such", tmp_path / "corpus"):
        with pytest.raises(PublishedError, match=rf"{target}: found nothing published there; give a run directory"):
            migrate(str(target), dry_run=False)
    migrate(plan.config, dry_run=False)
    assert "found nothing published there yet; nothing to migrate" in capsys.readouterr().err


def test_a_newer_table_is_told_as_that(plan: Plan) -> None:
    write_table(plan, score_schema("classify").append(pa.field("later", pa.string())))
    with pytest.raises(PublishedError, match=r"made by a newer mapring \(columns later\)"):
        migrate(plan.config, dry_run=False)
    table, work = find_work(plan)
    with pytest.raises(StageError, match="made by a newer mapring"):
        _check_columns(plan, table, replace(work, leaving=frozenset()))


def test_manifests_of_every_version_are_told_and_stay_as_they_are(
    plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(plan.run.root)
    publish_value(root / "models" / ("0" * 16), first_manifest("model", transformers="t"))
    publish_value(root / "training" / ("0" * 16) / "checkpoints" / "step-1", first_manifest("checkpoint"))
    commit_answers(plan, [{"label": "positive"}])
    migrate(str(root), dry_run=False)
    assert "2 published directories of version 1, is read as version 2; nothing to write" in capsys.readouterr().err
    publish_value(root / "models" / ("1" * 16), {**first_manifest("model"), "schema_version": 9})
    with pytest.raises(PublishedError, match="found schema_version 9, made by a newer mapring"):
        migrate(str(root), dry_run=False)
