"""`mapring vacuum` on a whole run directory: what is in use stays, the rest is told and removed, killed or not."""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import AddAction, RemoveAction
from typer.testing import CliRunner

from mapring import storage
from mapring.contract import write_file
from mapring.errors import StageError
from mapring.plan import Plan, make_plan
from mapring.scores.removal import dead_files, kept_versions, remove_dead_files
from mapring.scores.seal import seal
from mapring.scores.table import read_table
from mapring.scores.verify import verify_scores
from mapring.watch.counting import Counting
from mapring.watch.stored import read_counts
from pipelines import vacuum as module
from pipelines.cli import app
from pipelines.scheduling.lease import note_uri
from pipelines.scores import roll_back
from pipelines.vacuum import vacuum
from tests.mapring.care.test_removal import Killed
from tests.mapring.publishing import publish
from tests.pipelines.committed import commit_answers
from tests.spark_jobs.recommending.test_recommend import plan_of
from tests.tiny import write_tokenizer, write_world

LATER = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30)
KEEP_NONE = ["retention.shards=0", "retention.models=0", "retention.trainings=0", "retention.backends=0"]


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[Plan]:
    """The plan's model has live scores; five more of everything lie about, and an attempt."""
    config, _ = write_world(tmp_path)
    plan = make_plan(config)
    publish(Path(plan.model_directory))
    commit_answers(plan, [{"label": "positive", "score": 0.9}])
    seal(plan.run.scores, 0)
    counts = {"read": 0, "kept": 0, "dropped": {}}
    for number in range(5):
        for folder, kind in (("shards", "shards"), ("models", "model"), ("backends", "backend")):
            directory = tmp_path / "run" / folder / (f"{number}" * 16)
            publish(directory, kind, lanes=4, counts=counts, splits={})  # type: ignore[arg-type]
        storage.replace(storage.join(plan.run.training(f"{number}" * 16), "metrics.jsonl"), b"{}")
    write_file(plan.run.shards("f" * 16), "data/part-0123456789abcdef.parquet", b"half")
    yield plan


def standing(plan: Plan) -> set[str]:
    root = Path(plan.run.root)
    kinds = ("shards", "models", "backends", "training")
    return {f"{kind}/{path.name[:2]}" for kind in kinds for path in (root / kind).glob("*")}


def test_it_tells_with_bytes_and_reasons_and_removes_what_it_told(
    plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    before = standing(plan)
    vacuum(plan.config, KEEP_NONE, dry_run=True, now=LATER)
    told = capsys.readouterr().err
    assert standing(plan) == before
    assert "would remove shards/ffffffffffffffff, 4 B: an attempt that was not published" in told
    assert "models/0000000000000000" in told and "older than the newest 0 models" in told
    assert plan.model not in told, "live scores rest on it, and the settings name it"
    vacuum(plan.config, KEEP_NONE, dry_run=False, now=LATER)
    done = capsys.readouterr().err
    assert done.replace("removed", "would remove").replace("freed", "would free") == told
    assert standing(plan) == {f"models/{plan.model[:2]}"}
    assert CliRunner().invoke(app, ["verify", plan.config]).exit_code == 0
    vacuum(plan.config, KEEP_NONE, dry_run=False, now=LATER)
    assert "freed 0 B" in capsys.readouterr().err


def test_nothing_young_goes_and_the_newest_stay(plan: Plan) -> None:
    before = standing(plan)
    vacuum(plan.config, KEEP_NONE, dry_run=False)
    assert standing(plan) == before
    vacuum(plan.config, [], dry_run=False, now=LATER)
    assert len([name for name in standing(plan) if name.startswith("shards/")]) == 3


@pytest.mark.parametrize("removals", [0, 1, 7])
def test_killed_between_two_removals_the_next_one_ends_the_same(
    plan: Plan, removals: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[object] = []
    real = module._remove

    def killed(removal: module.Removal) -> None:
        if len(done) == removals:
            raise Killed
        done.append(removal)
        real(removal)

    monkeypatch.setattr(module, "_remove", killed)
    with pytest.raises(Killed):
        vacuum(plan.config, KEEP_NONE, dry_run=False, now=LATER)
    monkeypatch.undo()
    assert CliRunner().invoke(app, ["verify", plan.config]).exit_code == 0
    vacuum(plan.config, KEEP_NONE, dry_run=False, now=LATER)
    assert standing(plan) == {f"models/{plan.model[:2]}"}


def test_a_scheduler_at_work_is_left_to_it(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    note = {"holder": "a", "host": "elsewhere", "process": 1, "time": "", "since": "2026", "beat": 0}

    def beat() -> None:
        note["beat"] = int(note["beat"]) + 1
        storage.replace(note_uri(plan.run.schedule), json.dumps(note).encode())

    beat()
    monkeypatch.setattr("pipelines.alone.SystemClock.wait", lambda _self, _seconds: beat())
    before = standing(plan)
    with pytest.raises(StageError, match="process 1 on elsewhere is at work on this run directory"):
        vacuum(plan.config, KEEP_NONE, dry_run=False, now=LATER)
    assert standing(plan) == before
    vacuum(plan.config, KEEP_NONE, dry_run=True, now=LATER)


def test_published_directories_that_the_settings_name_by_path_stay(plan: Plan) -> None:
    older = plan.run.shards("0" * 16)
    named = module.in_use(make_plan(plan.config, [f"train.replay.shards={older}"]))
    assert named.named >= {plan.shards, "0" * 16} and named.live == {plan.model}


@pytest.mark.parametrize(
    "word",
    [
        "preprocess.tokenizer={model}",
        "preprocess.tokenizer={model}/transformers-x/",
        "train.model={model}/transformers-x",
        "train.distillation.teacher={model}/transformers-x",
        "train.model={run}",
    ],
)
def test_a_model_stays_that_the_settings_name_in_whatever_way(tmp_path: Path, word: str) -> None:
    config, _ = write_world(tmp_path)
    model = tmp_path / "run/models" / ("0" * 16)
    publish(model, task="classify", transformers="transformers-x", method="full")
    write_tokenizer(model / "transformers-x")
    (model / "transformers-x" / "config.json").write_text("{}")
    plan = make_plan(config, [*KEEP_NONE, word.format(model=model, run=tmp_path / "run")])
    assert [removal.directory for removal in module.what_goes(plan, LATER)] == []
    assert [removal.directory for removal in module.what_goes(make_plan(config, KEEP_NONE), LATER)] == [str(model)]


def test_a_model_that_puts_lists_in_a_new_order_stays(tmp_path: Path) -> None:
    older = publish(tmp_path / "run/models" / ("0" * 16))
    words = ["recommend.model=false", f"recommend.reranker={older}"]
    assert "0" * 16 in module.in_use(plan_of(tmp_path, *words)).named


def test_older_files_of_the_table_stay_as_long_as_a_kept_version_needs_them(plan: Plan) -> None:
    uri = plan.run.scores
    for version, of in ((1, "mapring.restored"), (2, "mapring.restored"), (3, "mapring.rows_forgotten")):
        rewrite(uri, version, of)
    rewrite(uri, 4, "mapring.restored")
    assert kept_versions(uri, 2) == [4, 3, 2], "a removal of rows is no version that anybody goes back to"
    made_by_others = "data/part-00000-0a1b2c3d-0000-1111-2222-333344445555-c000.snappy.parquet"
    write_file(uri, made_by_others, b"compacted, and replaced since; a checkpoint of the log has forgotten it")
    write_file(uri, f"data/part-{'0' * 16}.parquet", b"of a killed run")
    write_file(uri, "exports/mine.csv", b"of the user")
    storage.create(storage.join(uri, "data", f".x.{'0' * 32}.tmp"), b"half")
    os.utime(Path(uri, "data", f".x.{'0' * 32}.tmp"), (0, 0))
    assert [file.path.rpartition("/")[2] for file in dead_files(uri, 0, [4, 3, 2])] == [
        f".x.{'0' * 32}.tmp",
        "part-0.parquet",
        made_by_others.rpartition("/")[2],
        f"part-{'0' * 16}.parquet",
        "part-1.parquet",
    ]
    assert [file.path.rpartition("/")[2][:2] for file in dead_files(uri, 168)] == [".x"]
    removed = remove_dead_files(uri, 0, kept_versions(uri, 2))
    assert len(removed) == 5 and dead_files(uri, 0, kept_versions(uri, 2)) == []
    assert DeltaTable(uri).version() == 4 and Path(uri, "exports/mine.csv").exists()
    assert verify_scores(uri) == []
    roll_back(plan.config, 2)
    assert verify_scores(uri) == []
    with pytest.raises(StageError, match="cannot go back to version 1"):
        roll_back(plan.config, 1)


def test_counts_whose_data_file_is_gone_go_by_age(plan: Plan) -> None:
    uri = plan.run.scores
    table = read_table(uri)
    assert table is not None
    read_counts(table, Counting(window=datetime.timedelta(days=1)))
    [kept] = Path(uri, "_counts").iterdir()
    lost = kept.with_name(f"part-gone.{kept.name.partition('.')[2]}")
    lost.write_bytes(b"groups of a forgotten document")
    assert dead_files(uri, 168) == []
    os.utime(lost, (0, 0))
    assert [(file.path, file.bytes) for file in dead_files(uri, 168)] == [(f"_counts/{lost.name}", 30)]
    assert len(remove_dead_files(uri, 168)) == 1
    assert [path.name for path in Path(uri, "_counts").iterdir()] == [kept.name]
    assert DeltaTable(uri).version() == 0


def rewrite(uri: str, version: int, of: str = "mapring.restored") -> None:
    """One more version, whose only file holds the same rows under another name."""
    table = read_table(uri)
    assert table is not None
    [file] = table.files
    write_file(uri, f"data/part-{version}.parquet", Path(uri, file.path).read_bytes())
    now = int(time.time() * 1000)
    add = AddAction(f"data/part-{version}.parquet", file.bytes, {}, now, True, json.dumps({"numRecords": 1}))
    remove = RemoveAction(file.path, True, now, file.bytes)
    delta = DeltaTable(uri)
    properties = CommitProperties(custom_metadata={of: "0"})
    delta.create_write_transaction([add, remove], "append", delta.schema(), commit_properties=properties)
    seal(uri, version)
