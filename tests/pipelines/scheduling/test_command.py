"""`mapring schedule` and what `mapring status` says of it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mapring import storage
from mapring.errors import SettingsError
from pipelines.cli import app
from pipelines.schedule import make_scheduler, schedule
from pipelines.scheduling import records
from pipelines.scheduling.stopping import SystemClock
from tests.tiny import write_world


def test_a_wrong_plan_is_an_error_of_the_time_and_a_wrong_schedule_one_of_the_start(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    (tmp_path / "unseen.txt").unlink()
    scheduler = make_scheduler(config, ["schedule.cron=0 * * * *"], SystemClock())
    with pytest.raises(SettingsError, match=r"score\.inputs\.0\.path: found no file"):
        scheduler.run(lambda _process_id: None)
    with pytest.raises(SettingsError, match="schedule: is missing; add it"):
        schedule(config, [])


def test_the_command_tells_the_next_ten_times_and_writes_nothing(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    words = ["schedule", config, "schedule.cron=30 6 * * *", "schedule.timezone=Europe/Berlin", "--dry-run"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and done.stdout.count("06:30:00+0") == 10
    assert not (tmp_path / "run" / "schedule").exists()


def test_status_tells_the_last_run_errors_lag_and_what_comes(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    words = ["schedule.cron=0 * * * *"]
    root = make_scheduler(config, words, SystemClock()).root
    now = datetime.datetime.now(datetime.UTC)
    for hours, state, error in ((1, "done", None), (2, "failed", "score: found no model")):
        moment = now.replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=hours)
        records.publish(
            root, records.Record(time=moment, state=state, started=moment, finished=moment, attempts=4, error=error)
        )
    note = {"holder": "a", "host": "elsewhere", "process": 7, "time": "10:00", "since": "10:01", "stage": 1, "beat": 1}
    storage.replace(storage.join(root, "running.json"), json.dumps(note).encode())
    log = tmp_path / "run" / "logs" / "score-20260328T100000.log"
    log.parent.mkdir(parents=True)
    log.write_text("noise\n[mapring score] scoring  3/9 tasks  ETA 2m05s\nnoise\n")
    told = " ".join(CliRunner(env={"COLUMNS": "200"}).invoke(app, ["status", config, *words]).stdout.split())
    assert "done, nothing to do in 0s at attempt 4" in told
    assert "failed at attempt 4: score: found no model" in told
    assert "1 inputs wait, the newest (unseen.txt) for" in told
    assert "process 7 on elsewhere, ETA 2m05s" in told
    assert "next run" in told
