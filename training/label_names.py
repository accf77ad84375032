"""Labels of shards and of a task matched by their names: ids are places in a list that each corpus makes anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.batches import Integers
from training.reader import NO_LABEL, Batch


def ids_by_name(found: Sequence[str], wanted: Sequence[str]) -> Integers | None:
    """For each label of `found` its id in `wanted`, NO_LABEL where it is not there; None where both are equal."""
    if list(found) == list(wanted):
        return None
    number_of = {name: number for number, name in enumerate(wanted)}
    return np.array([number_of.get(name, NO_LABEL) for name in found], np.int64)


def rename_labels(batch: Batch, ids: Integers | None) -> Batch:
    """The batch itself, with each label id replaced by its entry in `ids`, shape (labels,); None replaces nothing."""
    if ids is None:
        return batch
    has_one = batch.label_ids != NO_LABEL
    renamed = batch.label_ids.copy()
    renamed[has_one] = ids[batch.label_ids[has_one]]
    batch.label_ids = renamed
    batch.label_sets = [np.sort(ids[labels]).astype(np.int32) for labels in batch.label_sets]
    return batch
