"""The table: every fault that a run must survive, or end from with a clear error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.fault_table import Fault, count_survived, fault_table
from tests.spark_jobs.faults import dirty_records, disturbed, full_disks, huge, kills, overtaken, refused_inputs
from tests.spark_jobs.faults.ground import Ground

FAULTS: list[Fault[Ground]] = fault_table(
    fast=[
        dirty_records.invalid_utf8,
        dirty_records.nul_bytes,
        dirty_records.lone_surrogates,
        dirty_records.ragged_csv,
        dirty_records.empty_file,
        dirty_records.duplicate_ids,
        refused_inputs.truncated_gzip,
        refused_inputs.empty_corpus,
        refused_inputs.missing_columns,
        disturbed.disk_full_in_the_driver,
        disturbed.killed_worker_in_process,
    ],
    slow=[
        disturbed.disk_full_in_a_task,
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
    ],
)


def fault_points_survived(faults: Sequence[Fault[Ground]] = FAULTS) -> int:
    """Run the table and count the rows that ended as they must."""

    def check(fault: Fault[Ground]) -> Callable[[Path, Path], object]:
        return lambda shared, own: fault.check(Ground(shared, own))

    return count_survived((fault.name, check(fault)) for fault in faults)
