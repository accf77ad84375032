"""Made-up rows, to try a model with before real ones come."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.reader import Batch


def made_batch(rows: int, length: int, vocabulary: int, **columns: Any) -> Batch:
    """So many rows of so many ids each, below `vocabulary`; other columns of the batch as given."""
    ids = np.arange(rows * length, dtype=np.int32).reshape(rows, length) % vocabulary
    return Batch(
        doc_ids=[str(row) for row in range(rows)],
        input_ids=list(ids),
        label_ids=np.zeros(rows, np.int64),
        global_rows=rows,
        texts=[],
        **columns,
    )
