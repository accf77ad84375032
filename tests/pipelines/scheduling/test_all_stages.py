"""`schedule.command=run`: from raw files to scores by a schedule, with real Spark, a real ring and a tiny model."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

import pytest

from mapring.contract import is_published
from mapring.plan import make_plan
from mapring.scores.table import read_table
from mapring.settings.schedule import Schedule
from pipelines.scheduling.records import finished_times, read_record, remember_start
from tests.tiny import write_world
from tests.tiny_model import write_base_model

MAPRING = str(Path(sys.executable).parent / "mapring")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_stages_run_when_they_are_due_and_only_what_is_new_the_next_time(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    write_base_model(tmp_path / "tokenizer")
    schedule = Schedule(cron="0 * * * *", command="run")
    words = [f"schedule.cron={schedule.cron}", "schedule.command=run", "train.precision=fp32"]
    plan = make_plan(config, words)
    now = datetime.datetime.now(datetime.UTC)

    def once(hours_ago: int) -> str:
        """Let a scheduler that first saw the schedule so many hours ago run what is due; what it said."""
        remember_start(plan.run.schedule, schedule, now - datetime.timedelta(hours=hours_ago))
        done = subprocess.run(
            [MAPRING, "schedule", config, *words, "--once"], capture_output=True, text=True, timeout=800, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "published shards" in once(2)
    table = read_table(plan.run.scores)
    assert is_published(plan.shards_directory) and is_published(plan.model_directory) and Path(plan.run.report).exists()
    assert table is not None and table.rows == 2
    [time] = finished_times(plan.run.schedule, now + datetime.timedelta(hours=1))
    record = read_record(plan.run.schedule, time)
    assert (record.state, record.is_news, record.attempts, record.missed) == ("done", True, 1, 1)
    assert not Path(plan.run.schedule, "running.json").exists()

    record_file = next(Path(plan.run.schedule, "times").rglob("*.json"))
    record_file.unlink()  # as if its scheduler had been killed right before it wrote it
    said = once(2)
    assert said.count("skipped: ") == 3, "nothing is made twice"
    again = read_record(plan.run.schedule, time)
    assert (again.state, again.is_news) == ("done", False)
