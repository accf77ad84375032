"""Processes: what the user sees, what the log holds, what a failure says, and that nothing is left running."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mapring.errors import SettingsError, StageError
from mapring.settings.ring import Ring
from pipelines.process import log_path, run_process
from pipelines.stages import Command, train_command


def run_code(code: str, log: Path, advice: str = "Run it again.") -> None:
    run_process(Command((sys.executable, "-c", code), {"WORD": "x"}), stage="train", log=log, advice=lambda: advice)


def test_our_lines_are_shown_without_the_launcher_s_prefix_and_all_lines_are_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "train.log"
    code = (
        "import os, sys; print('noise'); print('[1,0]<stderr>:[mapring train] step 1', file=sys.stderr, flush=True);"
        "print('[0]<stdout>:[mapring train] step 2'); print(os.environ['WORD'])"
    )
    run_code(code, log)
    assert sorted(capfd.readouterr().err.splitlines()) == ["[mapring train] step 1", "[mapring train] step 2"]
    assert sorted(log.read_text().splitlines()) == ["[mapring train] step 1", "[mapring train] step 2", "noise", "x"]


def test_a_failure_gives_its_own_error_line_the_advice_and_the_log(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    with pytest.raises(StageError) as caught:
        run_code("import sys; print('[1,1]<stderr>:error: loss is not finite'); sys.exit(1)", log)
    assert str(caught.value) == f"train: loss is not finite\nRun it again. The whole log: {log}"


def test_a_failure_without_an_error_line_gives_the_last_lines(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"ended with exit code 3; its last lines:\n  line 5\n(.|\n)*  line 19\n"):
        run_code("import sys; [print('line', n) for n in range(20)]; sys.exit(3)", tmp_path / "log")


def test_a_killed_process_is_told_by_its_signal(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="ended with signal SIGKILL"):
        run_code("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", tmp_path / "log")


def test_who_asks_is_told_the_group_of_the_process_and_can_end_it(tmp_path: Path) -> None:
    command = Command((sys.executable, "-c", "import time; time.sleep(600)"), {})
    with pytest.raises(StageError, match="ended with signal SIGTERM"):
        run_process(
            command,
            stage="train",
            log=tmp_path / "log",
            advice=str,
            started=lambda process_id: os.killpg(process_id, signal.SIGTERM),
        )


def test_a_wrong_setting_keeps_exit_code_two(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^seed is wrong$"):
        run_code("import sys; print('error: seed is wrong'); sys.exit(2)", tmp_path / "log")


@pytest.mark.parametrize("signals", [["SIGTERM"], ["SIGHUP"], ["SIGHUP", "SIGHUP"], ["ignored", "SIGHUP", "SIGTERM"]])
def test_when_we_are_told_to_stop_the_whole_group_ends(tmp_path: Path, signals: list[str]) -> None:
    """The child starts a child of its own and writes both ids; a signal to us must end both.

    A closed terminal tells us to stop, once or twice, unless we were started to outlive it.
    """
    heard = "SIG_IGN" if signals[0] == "ignored" else "SIG_DFL"  # the tests themselves may run under nohup
    pids = tmp_path / "pids"
    child = (
        "import os, signal, subprocess, sys, time;"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), os._exit(0)));"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{other.pid}}\\n'); time.sleep(600)"
    )
    parent = (
        f"import signal; signal.signal(signal.SIGHUP, signal.{heard});"
        "import sys; from pathlib import Path; from pipelines.process import run_process; "
        "from pipelines.stages import Command;"
        f"run_process(Command((sys.executable, '-c', {child!r}), {{}}), stage='s', "
        f"log=Path({str(tmp_path / 'log')!r}), advice=str)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    deadline = time.monotonic() + 30
    while not (pids.exists() and pids.read_text().endswith("\n")) and time.monotonic() < deadline:
        time.sleep(0.05)
    started = [int(pid) for pid in pids.read_text().split()]
    sent = [signal.Signals[name] for name in signals if name != "ignored"]
    for number in sent:
        os.kill(process.pid, number)
        time.sleep(0.2)
    assert process.wait(30) == 128 + sent[-1]
    gone = [
        pid for pid in started if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    ]
    assert gone == started


@pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="Horovod is not installed")
def test_ranks_of_horovodrun_have_the_time_that_they_are_given(tmp_path: Path) -> None:
    """Each takes 7 s to end, as a checkpoint may; horovodrun by itself kills them after 5."""
    rank = tmp_path / "rank.py"
    rank.write_text(
        "import os, signal, time\n"
        "from pathlib import Path\n"
        f"place = Path({str(tmp_path)!r}, 'rank' + os.environ['HOROVOD_RANK'])\n"
        "def end(*_):\n"
        "    time.sleep(7)\n"
        "    place.write_text('ended')\n"
        "    os._exit(143)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "place.write_text('started')\n"
        "time.sleep(600)\n"
    )
    command = train_command(Ring(ranks=2), ())
    words = (*command.words[: command.words.index(sys.executable)], sys.executable, str(rank))
    parent = (
        "from pathlib import Path; from pipelines.process import run_process; from pipelines.stages import Command;"
        f"run_process(Command({words!r}, {{}}), stage='s', log=Path({str(tmp_path / 'log')!r}), advice=str)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    places = [tmp_path / "rank0", tmp_path / "rank1"]
    deadline = time.monotonic() + 60
    while not all(place.exists() and place.read_text() for place in places) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert [place.read_text() for place in places] == ["ended", "ended"]


def test_logs_of_a_remote_run_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert log_path("memory://bucket/run", "train").parent == Path(".mapring/logs")
    assert log_path(str(tmp_path / "run"), "train").parent == tmp_path / "run" / "logs"
