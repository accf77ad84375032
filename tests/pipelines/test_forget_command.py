"""`mapring forget` from the command line, on a run directory in which nothing is published yet; starts no Spark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mapring import storage
from mapring.care.forgotten import read_forgotten
from mapring.errors import StageError
from mapring.plan import make_plan
from pipelines.cli import app
from pipelines.forget import forget
from pipelines.scheduling.lease import note_uri
from tests.tiny import write_world


def test_the_command_remembers_documents_by_your_own_ids_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, _ = write_world(tmp_path)
    before = make_plan(config)
    command = ["forget", config, "c3", "c4", "--set", "name=other"]
    assert CliRunner().invoke(app, [*command, "--dry-run"]).exit_code == 0
    assert read_forgotten(before.run.root) == ()
    assert [CliRunner().invoke(app, command).exit_code for _ in range(2)] == [0, 0]
    told = capfd.readouterr().err
    assert "2 new records" in told and "they are known as forgotten already" in told
    found = read_forgotten(before.run.root)
    assert len(found) == 2 and all(one.of_corpus and len(one.hashes) == 1 for one in found)
    after = make_plan(config)
    assert after.shards != before.shards and len(after.left_out_of_corpus.doc_ids) == 2
    assert CliRunner().invoke(app, ["forget", config, "nobody"]).exit_code == 1
    assert "nobody: found no document" in capfd.readouterr().err


def test_shards_are_not_retired_while_a_scheduler_is_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, _ = write_world(tmp_path)
    run = make_plan(config).run
    note = {"holder": "a", "host": "elsewhere", "process": 1, "time": "", "since": "2026", "beat": 0}

    def beat() -> None:
        note["beat"] = int(note["beat"]) + 1
        storage.replace(note_uri(run.schedule), json.dumps(note).encode())

    beat()
    monkeypatch.setattr("pipelines.alone.SystemClock.wait", lambda _self, _seconds: beat())
    with pytest.raises(StageError, match="is at work on this run directory"):
        forget(config, ["c3"], [], purge=True, dry_run=False)
    assert read_forgotten(run.root) == ()
