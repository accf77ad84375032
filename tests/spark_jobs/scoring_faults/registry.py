"""The table of what a scoring must survive, or end from with a clear error, besides its kill points."""

from __future__ import annotations

from tests.fault_table import Fault, fault_table
from tests.spark_jobs.scoring_faults import bad_inputs, disturbed, drafting, scheduled
from tests.spark_jobs.scoring_faults.ground import Ground

FAULTS: list[Fault[Ground]] = fault_table(
    fast=[
        bad_inputs.all_rows_unreadable,
        bad_inputs.all_rows_failing,
        disturbed.clock_going_back,
        drafting.decoder_failing,
    ],
    slow=[
        bad_inputs.corrupt_input,
        bad_inputs.corrupt_model,
        bad_inputs.model_of_another_tokenizer,
        bad_inputs.a_million_empty_rows,
        bad_inputs.one_huge_text,
        drafting.decoder_exchanged,
        disturbed.disk_full,
        disturbed.two_drivers_at_once,
        scheduled.scheduler_killed,
        scheduled.two_schedulers_at_once,
        scheduled.model_of_a_schedule_missing,
    ],
)
