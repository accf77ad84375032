"""Signals: a training asked to end, and ranks that stand still without dying."""

from __future__ import annotations

import os
import signal
import time
from unittest import mock

from mapring.contract import is_published
from mapring.plan import Plan
from tests.training.faults.ground import (
    END_SECONDS,
    Ended,
    Ground,
    assert_as_undisturbed,
    assert_clear_error,
    finish,
    in_process,
    ranks_of,
    start,
    start_command,
    wait_for_steps,
)
from tests.training.faults.kills import LONG
from training.sample_log import read_samples
from training.step import Stepper, StepResult

_STEP = Stepper.step
_IMPATIENT = "ring.stall_shutdown_seconds=10"


def sigterm(ground: Ground) -> None:
    """SIGTERM in the middle of a step: that step counts, its checkpoint is there, and nothing is done twice."""
    plan = ground.plan()
    ended = in_process(plan, mock.patch.object(Stepper, "step", _asked_to_end_in_step_5))
    assert_clear_error(ended, "stopped as asked after step 6", "start again to go on from there", code=143)
    again = in_process(plan)
    assert again.code == 0 and "going on from the checkpoint of step 6" in again.said
    assert_as_undisturbed(plan, ground.undisturbed())


def sigterm_to_one_rank(ground: Ground) -> None:
    """SIGTERM to one of two ranks ends both after one more checkpoint."""
    plan, ended = _signalled(ground, "horovodrun", 1, signal.SIGTERM)
    assert "stopped as asked after step" in ended.said
    assert_as_undisturbed(plan, ground.undisturbed(*LONG, _IMPATIENT, ranks=2))


def asked_to_end_under_mpirun(ground: Ground) -> None:
    """SIGTERM to `mapring train` over mpirun: both ranks end after one more checkpoint."""
    plan = ground.plan(*LONG, _IMPATIENT, "ring.launcher=mpirun", "ring.ranks=2")
    process = start_command(plan)
    wait_for_steps(plan, process, 20)
    process.send_signal(signal.SIGTERM)
    ended = finish(process)
    assert ended.code == 128 + signal.SIGTERM and not ranks_of(plan), ended.said
    steps = len(read_samples(plan.training_directory).steps)
    again = finish(start_command(plan))
    assert again.code == 0 and f"going on from the checkpoint of step {steps}\n" in again.said, again.said
    assert_as_undisturbed(plan, ground.undisturbed(*LONG, _IMPATIENT, ranks=2))


def stalled_rank(ground: Ground) -> None:
    """A rank under horovodrun that is stopped is named by the other, which ends the job."""
    _stalls(ground, "horovodrun", 1)


def stalled_first_rank(ground: Ground) -> None:
    """The first rank under horovodrun, on which Horovod's own watch runs."""
    _stalls(ground, "horovodrun", 0)


def stalled_rank_under_mpirun(ground: Ground) -> None:
    """The first rank under mpirun: MPI itself would wait for it without end."""
    _stalls(ground, "mpirun", 0)


def stalled_rank_under_torchrun(ground: Ground) -> None:
    """A rank under torchrun, which has no watch at all."""
    _stalls(ground, "torchrun", 1)


def _asked_to_end_in_step_5(stepper: Stepper, number: int, *arguments: object, stop: bool) -> StepResult:
    """The wish comes with the next step, because this one has told the ring already that there is none."""
    if number == 4:
        os.kill(os.getpid(), signal.SIGTERM)
    return _STEP(stepper, number, *arguments, stop=stop)  # type: ignore[arg-type]


def _stalls(ground: Ground, launcher: str, victim: int) -> None:
    plan, ended = _signalled(ground, launcher, victim, signal.SIGSTOP)
    told = [line for line in ended.errors if f"rank {victim} on host" in line and "does not answer" in line]
    assert told and "start again: training goes on from the last checkpoint" in told[0], ended.said
    assert_as_undisturbed(plan, ground.undisturbed(*LONG, _IMPATIENT, ranks=2))


def _signalled(ground: Ground, launcher: str, victim: int, number: signal.Signals) -> tuple[Plan, Ended]:
    """Send a signal to a rank; all must have ended in a minute, and one more start must end well."""
    plan = ground.plan(*LONG, _IMPATIENT)
    process = start(plan, launcher)
    wait_for_steps(plan, process, 20)
    ranks_of(plan)[victim].send_signal(number)
    began = time.monotonic()
    ended = finish(process)
    seconds = time.monotonic() - began
    assert ended.code != 0 and seconds < END_SECONDS, f"{seconds:.0f} s: {ended.said}"
    assert not ranks_of(plan), "a rank was left running"
    assert not is_published(plan.model_directory)
    again = finish(start(plan, launcher))
    assert again.code == 0, again.said
    return plan, ended
