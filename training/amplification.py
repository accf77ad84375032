"""How much more than its share a rank reads, told from the manifest alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.batches import BatchOrder

MOST = 1.25  # while there are at least four lanes to a rank: a rank has at most 1 + (ranks - 1) / lanes of its share


def read_amplification(order: BatchOrder, lane_bytes: Sequence[int], file_rows: Sequence[int], ranks: int) -> float:
    """Bytes that the busiest rank reads in one epoch, over an even share of the split; 1.0 is ideal.

    A rank reads whole lanes, and these may not divide evenly; and where row groups cross the blocks of the order,
    some are read twice. Columns are taken to have the same share of bytes in every lane.

    Args:
        order: the order of the split's rows.
        lane_bytes: size of each lane's files in bytes.
        file_rows: rows of the files of lane 0, which no other lane has more of; all lanes are cut alike.
        ranks: how many read, at most as many as there are lanes.
    """
    total = sum(lane_bytes)
    if not total:
        return 1.0
    busiest = max(sum(lane_bytes[rank::ranks]) for rank in range(ranks))
    return busiest * ranks / total * _times_read(order, file_rows)


def _times_read(order: BatchOrder, file_rows: Sequence[int]) -> float:
    """How often a row of a lane is read in an epoch, on average; a lane keeps the row groups of its last window."""
    size = order.rows_per_row_group
    if all(rows % size == 0 for rows in file_rows[:-1]):
        return 1.0  # the blocks are the row groups, and those of one window come one behind the other
    groups = [min(size, rows - start) for rows in file_rows for start in range(0, rows, size)]
    starts = np.cumsum([0, *groups])[:-1]
    read, kept = 0, set[int]()
    for window in range(order.windows):
        positions = order.window_positions(0, window)
        needed = set((np.searchsorted(starts, positions, side="right") - 1).tolist())
        read += sum(groups[group] for group in needed - kept)
        kept = needed
    return read / sum(groups)
