"""Start one stage as the process a user would start on a cluster, unless its output is already there."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mapring import storage
from mapring.contract import RECORD_NAME
from mapring.plan import Plan
from mapring.progress import say, seconds_text
from pipelines.archive import write_archive
from pipelines.process import STOP_SECONDS, log_path, run_process
from pipelines.programs import refuse_missing
from pipelines.stages import published, stage_command


def run_stage(
    stage: str,
    plan: Plan,
    started: Callable[[int], None] = lambda _process_id: None,
    *,
    stop_seconds: float = STOP_SECONDS,
) -> bool:
    """Run one stage unless its output is there under the plan's fingerprint; returns whether it ran.

    `started` is told the id of its process, which has `stop_seconds` to end when it is told to stop.

    Raises:
        SettingsError, StageError: the stage failed; what to do next is said.
    """
    found = published(stage, plan)
    if found is not None:
        say(stage, f"skipped: {found}")
        return False
    start = time.monotonic()
    log = log_path(plan.run.root, stage)
    say(stage, f"starting; log: {log}")
    with tempfile.TemporaryDirectory(prefix="mapring-") as folder:
        command = stage_command(stage, plan, write_archive(Path(folder, "mapring.zip")))
        refuse_missing(stage, command)
        run_process(
            command,
            stage=stage,
            log=log,
            advice=lambda: _advice(stage, plan),
            started=started,
            stop_seconds=stop_seconds,
        )
    say(stage, f"done in {seconds_text(time.monotonic() - start)}")
    return True


def _advice(stage: str, plan: Plan) -> str:
    """What to do after a failure, told from what stands in the run directory by then."""
    if stage != "train":
        return "Nothing half-done is visible; after mending the cause run the same command again."
    step = last_checkpoint(plan)
    if step is None:
        return "There is no checkpoint yet; run the same command again to start over."
    return f"The last checkpoint is {step}; run the same command again to resume from it."


def last_checkpoint(plan: Plan) -> str | None:
    """Name of the newest published checkpoint of a plan's training, such as step-00000200."""
    folder = storage.join(plan.training_directory, "checkpoints")
    names = [name for name in storage.list_names(folder) if storage.exists(storage.join(folder, name, RECORD_NAME))]
    return max(names, default=None)
