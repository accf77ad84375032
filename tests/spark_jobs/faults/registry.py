"""The table: every fault that a run must survive, or end from with a clear error."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mapring.progress import say
from tests.spark_jobs.faults import dirty_records, disturbed, full_disks, huge, kills, overtaken, refused_inputs
from tests.spark_jobs.faults.ground import Ground


class Fault(NamedTuple):
    """One row: `check` plants the fault, runs the stage, and raises AssertionError unless that ended as it must."""

    check: Callable[[Ground], object]
    slow: bool

    @property
    def name(self) -> str:
        """What the row is called in results and in docs/failures.md."""
        return self.check.__name__


FAULTS = [
    *(
        Fault(check, slow=False)
        for check in (
            dirty_records.invalid_utf8,
            dirty_records.nul_bytes,
            dirty_records.lone_surrogates,
            dirty_records.ragged_csv,
            dirty_records.empty_file,
            dirty_records.duplicate_ids,
            refused_inputs.truncated_gzip,
            refused_inputs.empty_corpus,
            refused_inputs.missing_columns,
            disturbed.disk_full_in_a_task,
            disturbed.disk_full_in_the_driver,
            disturbed.killed_worker_in_process,
        )
    ),
    *(
        Fault(check, slow=True)
        for check in (
            huge.huge_document,
            full_disks.full_run_dir,
            full_disks.full_spark_disk,
            kills.killed_worker,
            kills.worker_killed_at_every_attempt,
            kills.killed_executor,
            kills.killed_driver_jvm,
            kills.killed_driver_python,
            kills.tasks_killed_at_random,
            overtaken.speculation,
        )
    ),
]


def fault_points_survived(faults: list[Fault] = FAULTS) -> int:
    """Run the table and count the rows that ended as they must; the others are told with their reason."""
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        for fault in faults:
            own = Path(folder, fault.name)
            own.mkdir()
            try:
                fault.check(Ground(Path(folder, "shared"), own))
            except Exception as error:  # a row that fails in any way is a row not survived
                say("faults", f"{fault.name}: not survived: {error!r}")
            else:
                survived += 1
                say("faults", f"{fault.name}: survived")
    return survived
