"""Numbers and checkpoints that are broken: a loss that is none, weights that a disk or a kill has spoilt."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import torch

from mapring.plan import Plan
from tests.training.faults.ground import Ended, Ground, assert_as_undisturbed, assert_clear_error, in_process
from tests.training.faults.kills import die_in_process
from tests.training.faults.points import point_of
from training.model import trainable_parameters
from training.reader import Batch
from training.step import Stepper

_BACKWARD = Stepper._backward


def nan_loss(ground: Ground) -> None:
    """A loss that is not a number ends the training before it reaches the weights; the last checkpoint is sound."""
    plan = ground.plan()
    ended = in_process(plan, mock.patch.object(Stepper, "_backward", _spoilt_in_step_8))
    assert_clear_error(ended, "step 8: found loss nan", "lower train.learning_rate", "the last checkpoint is step 6")
    again = in_process(plan)
    assert again.code == 0 and "going on from the checkpoint of step 6" in again.said
    assert_as_undisturbed(plan, ground.undisturbed())


def corrupt_checkpoint(ground: Ground) -> None:
    """One bit of the newest checkpoint changed: said, passed over, and the one before is used."""
    plan = _interrupted(ground)
    file = next(Path(plan.training_directory, "checkpoints", "step-00000006").glob("model-*"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    ended = _goes_on_from_step_3(ground, plan)
    assert f"checkpoint step-00000006 is damaged and not used: {file}" in ended.said


def half_written_checkpoint(ground: Ground) -> None:
    """A checkpoint without its record, as a kill leaves it: the same."""
    plan = _interrupted(ground)
    Path(plan.training_directory, "checkpoints", "step-00000006", "published.json").unlink()
    ended = _goes_on_from_step_3(ground, plan)
    assert "checkpoint step-00000006 is not complete and not used" in ended.said


def no_sound_checkpoint(ground: Ground) -> None:
    """All checkpoints damaged: said for each, and the training begins anew."""
    plan = _interrupted(ground)
    for record in Path(plan.training_directory, "checkpoints").glob("*/published.json"):
        record.write_bytes(b"{}")
    ended = in_process(plan)
    assert ended.code == 0 and ended.said.count("is damaged and not used") == 2, ended.said
    assert_as_undisturbed(plan, ground.undisturbed(), most_rolled_back=6)


def _interrupted(ground: Ground) -> Plan:
    """A training that has checkpoints of steps 3 and 6."""
    plan = ground.plan()
    die_in_process(plan, point_of("after_the_optimizer_step"))
    return plan


def _goes_on_from_step_3(ground: Ground, plan: Plan) -> Ended:
    ended = in_process(plan)
    assert ended.code == 0 and "going on from the checkpoint of step 3" in ended.said, ended.said
    assert_as_undisturbed(plan, ground.undisturbed())
    return ended


def _spoilt_in_step_8(stepper: Stepper, number: int, batch: Batch) -> None:
    if number == 7:
        with torch.no_grad():
            trainable_parameters(stepper._model)[-1][0] = float("nan")
    _BACKWARD(stepper, number, batch)
