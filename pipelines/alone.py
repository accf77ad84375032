"""Nobody else at work on a run directory: the note of `mapring schedule`, held by a command that removes things."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mapring.errors import StageError
from mapring.run_directory import RunDirectory
from pipelines.scheduling.lease import DEAD_SECONDS, Lease, note_uri
from pipelines.scheduling.stopping import Clock, SystemClock

_LOOK_SECONDS = 5.0


@contextmanager
def alone(run: RunDirectory, config: str, clock: Clock | None = None) -> Iterator[None]:
    """Hold the note of a run directory while the body runs, so that no scheduler starts a run meanwhile.

    Stages that were started by hand hold no note.

    Raises:
        StageError: a scheduler is at work.
    """
    clock = clock or SystemClock()
    lease = Lease(note_uri(run.schedule), config, clock, grace_seconds=None)
    waited = 0.0
    while (taken := lease.take(clock.now())) != "taken":
        if taken == "busy" or waited > 2 * DEAD_SECONDS:
            raise StageError(
                f"{run.root}: {lease.other} is at work on this run directory; run the command again when it is done"
            )
        clock.wait(_LOOK_SECONDS)
        waited += _LOOK_SECONDS
    with lease.beating():
        yield
