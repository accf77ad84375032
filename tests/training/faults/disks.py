"""A disk without room for the files of a training; after room was made the same command ends as if nothing had been."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

from mapring.contract import is_published
from tests.training.faults.ground import ROOT, Ended, Ground, assert_as_undisturbed, assert_clear_error, in_process
from tests.training.faults.points import planted, point_of

_TOLD = ("the disk is full: found", "bytes free, expected room for", "run the same command again")
_SMALL, _LARGE = 600 << 10, 64 << 20  # shards and one checkpoint of the tiny model have 450 kB
_OPEN = Path.open


def disk_full_at_checkpoint(ground: Ground) -> None:
    """No room for the second checkpoint's record: the first one stands, and the next start goes on from it."""
    ended, again = _ends_full(ground, planted(point_of("before_a_checkpoint_s_record"), _full))
    assert "the last checkpoint is step 3" in ended.errors[0]
    assert "going on from the checkpoint of step 3" in again.said


def disk_full_at_metrics(ground: Ground) -> None:
    """No room for the lines of the curves, which is told as for any other file."""
    _ends_full(ground, mock.patch.object(Path, "open", _refuse_metrics))


def disk_full_at_export(ground: Ground) -> None:
    """No room for the model's record: nothing is trained again, the next start only publishes."""
    _, again = _ends_full(ground, planted(point_of("before_the_model_s_record"), _full))
    assert "going on from the checkpoint of step 14" in again.said


def full_training_disk(ground: Ground) -> None:
    """A real disk with room for one checkpoint: the training ends and says so, and goes on once there is more."""
    plan = ground.plan()
    run, moved = Path(plan.run.root), ground.own / "moved"
    run.rename(moved)
    run.mkdir()
    job = shlex.join([sys.executable, "-m", "training.train", "--config", plan.config, *plan.overrides])
    place, folder = shlex.quote(str(run)), shlex.quote(str(ground.own))
    script = f"""
        mount -t tmpfs -o size={_SMALL} small {place} && cp -r {folder}/moved/. {place} || exit 90
        {job} > {folder}/first 2>&1
        echo $? > {folder}/code
        find {place}/models -name published.json 2>/dev/null | grep . && exit 91
        mount -o remount,size={_LARGE} {place} || exit 92
        {job} && cp -r {place} {folder}/copied
    """
    command = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "sh", "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}; {done.stdout}{done.stderr}"
    first = Ended(int((ground.own / "code").read_text()), (ground.own / "first").read_text())
    assert first.code == 1 and len(first.errors) == 1 and all(part in first.errors[0] for part in _TOLD), first.said
    assert_as_undisturbed(ground.plan(f"run_dir={ground.own / 'copied'}"), ground.undisturbed())


def _ends_full(ground: Ground, fault: AbstractContextManager[Any]) -> tuple[Ended, Ended]:
    """The training that ends, and the next one, which does not."""
    plan = ground.plan()
    ended = in_process(plan, fault)
    assert_clear_error(ended, *_TOLD)
    assert not is_published(plan.model_directory)
    again = in_process(plan)
    assert again.code == 0, again.said
    assert_as_undisturbed(plan, ground.undisturbed())
    return ended, again


def _full() -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _refuse_metrics(path: Path, *arguments: Any, **named: Any) -> Any:
    if path.name == "metrics.jsonl" and "ab" in arguments:
        _full()
    return _OPEN(path, *arguments, **named)
