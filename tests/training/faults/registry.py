"""The table: every fault that a training must survive, or end from with a clear error."""

from __future__ import annotations

from tests.fault_table import Fault, fault_table
from tests.training.faults import data, disks, kills, numbers, signals
from tests.training.faults.ground import Ground

FAULTS: list[Fault[Ground]] = fault_table(
    fast=[
        signals.sigterm,
        disks.disk_full_at_checkpoint,
        disks.disk_full_at_metrics,
        disks.disk_full_at_export,
        numbers.nan_loss,
        numbers.corrupt_checkpoint,
        numbers.half_written_checkpoint,
        numbers.no_sound_checkpoint,
        data.shards_of_another_seed,
        data.shards_changed_under_a_checkpoint,
        data.same_shards_published_again,
        data.shard_file_changed,
        data.checkpoint_of_another_training,
        data.wrong_tokenizer,
        data.older_shards_of_another_tokenizer,
        data.label_unseen_in_training,
        data.fewer_rows_than_ranks,
        data.more_ranks_than_lanes,
        data.empty_split,
        data.no_training_rows,
    ],
    slow=[
        kills.killed_in_process,
        kills.ten_kills,
        signals.sigterm_to_one_rank,
        signals.asked_to_end_under_mpirun,
        signals.stalled_rank,
        signals.stalled_first_rank,
        signals.stalled_rank_under_mpirun,
        signals.stalled_rank_under_torchrun,
        disks.full_training_disk,
    ],
)
