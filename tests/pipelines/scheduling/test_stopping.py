"""A real scheduler that is told to stop, as it waits and as it works."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipelines.scheduling import lease
from pipelines.scheduling.stopping import SystemClock

_STAGE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(open({told!r}, 'w').close()))
time.sleep(600)
"""
_SCHEDULER = """
import sys
from pathlib import Path
from mapring.settings.schedule import Schedule
from pipelines.process import run_process
from pipelines.schedule import Scheduler
from pipelines.scheduling.stopping import SystemClock
from pipelines.stages import Command

def work(started):
    command = Command((sys.executable, "-c", {stage!r}), {{}})
    run_process(command, stage="s", log=Path({log!r}), advice=str, started=started)
    return True

clock = SystemClock()
with clock.listening():
    Scheduler("p", Schedule(cron={cron!r}), {root!r}, clock, work, clock.at_work).loop()
"""


def start(tmp_path: Path, cron: str) -> subprocess.Popen[str]:
    stage = _STAGE.format(told=str(tmp_path / "told"))
    code = _SCHEDULER.format(stage=stage, log=str(tmp_path / "log"), cron=cron, root=str(tmp_path / "schedule"))
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_scheduler_that_waits_ends_at_once_with_exit_code_0(number: signal.Signals, tmp_path: Path) -> None:
    process = start(tmp_path, "0 0 1 1 *")
    assert process.stderr is not None and "next run at" in process.stderr.readline()
    process.send_signal(number)
    assert process.wait(10) == 0
    assert "stopped as asked" in process.stderr.read()
    process.stderr.close()


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_stop_between_the_wait_and_the_work_begins_no_run(
    number: signal.Signals, raised: type[BaseException]
) -> None:
    clock, begun = SystemClock(), []
    with clock.listening():
        signal.raise_signal(number)
        with pytest.raises(raised), clock.at_work():
            begun.append(1)
    assert begun == [] and clock.wait(0)


def test_a_stop_in_a_run_asks_the_stage_politely_and_leaves_its_time_for_the_next_start(tmp_path: Path) -> None:
    process = start(tmp_path, "* * * * * *")
    note = tmp_path / "schedule" / "running.json"

    def stage_runs() -> bool:
        found = lease.read_note(str(note))
        return found is not None and found.stage is not None

    wait_for(stage_runs)
    found = lease.read_note(str(note))
    assert found is not None and found.stage is not None
    time.sleep(0.5)  # until the stage's own handler is there
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert (tmp_path / "told").exists(), "the stage was not asked"
    assert not psutil.pid_exists(found.stage) and not note.exists()
    assert not (tmp_path / "schedule" / "times").exists()
    assert process.stderr is not None
    process.stderr.close()
