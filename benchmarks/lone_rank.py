"""One rank's part of a training without the ring: `python -m benchmarks.lone_rank CONFIG RANK OUTPUT [KEY=VALUE ...]`.

Takes the batches that rank RANK of the ring would take, with the trainer's own loop, and sends nothing. Two of them
side by side are as fast as a ring would be that costs nothing.
"""

from __future__ import annotations

from training.huge_pages import begin_with_huge_pages

if __name__ == "__main__":
    begin_with_huge_pages()

import os
import sys
from dataclasses import replace

from benchmarks.sentences import RANKS, reader_of
from mapring.plan import make_plan
from mapring.run_directory import RunDirectory
from training import preparation
from training.checkpoint import Checkpoints, Cursor
from training.loop import StopRequest, Training, run_training
from training.optimizers import make_optimizer
from training.ring.single import SingleRing
from training.step import Stepper
from training.tasks import open_task


def main() -> int:
    """Train on one rank's batches to the end; the curves are left below OUTPUT."""
    config, rank, output, *overrides = sys.argv[1:]
    plan = make_plan(config, overrides)
    settings, ring = plan.settings.train, SingleRing()
    assert settings.precision != "auto", "both of a pair must have the same arithmetic"
    reader = reader_of(plan, int(rank), RANKS)
    task = open_task(plan)
    model, head = preparation.build_trainable(plan, task, reader.steps)
    optimizer = make_optimizer(model, settings)
    own = replace(plan, run=RunDirectory(output))
    training = Training(
        plan=own,
        task=task,
        ring=ring,
        reader=reader,
        model=model,
        optimizer=optimizer,
        stepper=Stepper(
            task,
            model,
            optimizer,
            ring,
            settings,
            seed=plan.settings.seed,
            steps_an_epoch=reader.steps,
            precision=settings.precision,
        ),
        checkpoints=Checkpoints(own.training_directory, fingerprint=plan.model, shards="", settings={}, keep=1),
        head=head,
    )
    start = Cursor(step=0, epoch=0, precision=settings.precision, world_size=1, loss=0.0, rows=0, tokens=0, seconds=0.0)
    run_training(training, start, StopRequest())
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # as the trainer leaves
