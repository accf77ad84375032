"""`mapring schedule` every few seconds, killed -9 at random moments: the table ends as an undisturbed run's."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from deltalake import DeltaTable

from mapring.scores.verify import verify_scores
from mapring.scores.work import find_work
from pipelines.scheduling.records import finished_times, read_record
from tests.pipelines.scheduling.world import LATER
from tests.spark_jobs.scored_world import World

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

MAPRING = str(Path(sys.executable).parent / "mapring")
KILLS = 6
_MOST_SECONDS = 300
_OF_THE_RUN = ("run_id", "scored_at", "score", "probabilities")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_scheduler_killed_at_random_moments_ends_with_the_table_of_an_undisturbed_run(tmp_path: Path) -> None:
    world = World(tmp_path)
    words = ["schedule.cron=*/3 * * * * *", "schedule.retry_seconds=1"]
    command = [MAPRING, "schedule", str(world.config), *words]
    chance = random.Random(17)
    for number in range(KILLS):
        world.add(f"day{number}", 5 + number, first=100 * number)
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(2, 14))  # a run takes some eight seconds
        process.send_signal(signal.SIGKILL)
        process.wait()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + _MOST_SECONDS
    while not find_work(world.plan())[1].is_done:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(1)
    process.terminate()
    said = process.communicate(timeout=60)[1]
    assert process.returncode in (0, 128 + signal.SIGTERM), said

    plan = world.plan()
    assert verify_scores(plan.run.scores) == []
    undisturbed = world.plan(f"run_dir={tmp_path / 'peace'}")
    model = Path(undisturbed.model_directory)
    model.parent.mkdir(parents=True)
    model.symlink_to(plan.model_directory)
    world.score(*undisturbed.overrides)
    assert [_exact(row) for row in _rows(plan.run.scores)] == [_exact(row) for row in _rows(undisturbed.run.scores)]
    for row, other in zip(_rows(plan.run.scores), _rows(undisturbed.run.scores), strict=True):
        assert row["score"] == pytest.approx(other["score"], abs=1e-5)

    root = plan.run.schedule
    found = [read_record(root, moment) for moment in finished_times(root, LATER)]
    assert found and all(record.state == "done" for record in found), found
    assert not _left(str(world.config))


def _rows(uri: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = DeltaTable(uri).to_pyarrow_table().to_pylist()
    assert len({row["doc_id"] for row in rows}) == len(rows)
    return sorted(rows, key=lambda row: (row["path"], row["record"]))


def _exact(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _OF_THE_RUN}


def _left(config: str) -> list[int]:
    """Processes that still work on this pipeline."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and config in process.cmdline():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
