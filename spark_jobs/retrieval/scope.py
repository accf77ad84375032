"""How similar texts in scope are to a bank: the validation texts of the model, kept with the bank.

A text that resembles no template is probably about something that neither the templates nor the classifier know. How
much is too little is told by texts that are known to be in scope, and were not trained on: a threshold that all but a
share of them reach.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mapring import storage
from spark_jobs.tables import parquet_bytes

SCOPE_ROWS = 5_000  # validation texts at most: a threshold at 95 % then keeps 95 % within 0.6 points (two deviations)
_ITSELF = 1e-5  # what the similarity of a text with itself may lack of 1; another text is hardly ever as near

Floats = npt.NDArray[np.float64]


def to_others(scores: Floats) -> Floats:
    """Of each text its similarity to the nearest template that is not the text itself, (N,).

    Training questions are templates, too, and where they are the bank, validation texts may stand in it.

    Args:
        scores: of the two nearest different vectors, (N, 2), or (N, 1) of a bank with one.
    """
    if scores.shape[1] < 2:
        return scores[:, 0]
    return np.where(scores[:, 0] > 1 - _ITSELF, scores[:, 1], scores[:, 0])


def similarities_to_bytes(similarities: Floats) -> bytes:
    """Of each validation text that to its nearest template, (N,), as a file; ascending, whatever their order."""
    table = pa.table({"similarity": pa.array(np.sort(similarities))})
    return parquet_bytes(table, len(table))


def read_similarities(uri: str) -> Floats:
    """What `similarities_to_bytes` made, (N,), ascending."""
    found: Floats = pq.read_table(io.BytesIO(storage.read_bytes(uri))).column("similarity").to_numpy()
    return found


def threshold_that_keeps(share: float, similarities: Floats) -> float:
    """The highest similarity that at least this share of the texts reach.

    Args:
        share: above 0, at most 1.
        similarities: (N,), ascending.
    """
    kept = int(np.ceil(share * len(similarities) - 1e-9))  # 0.95 of 20 are 19, whatever binary fractions say
    return float(similarities[len(similarities) - max(1, kept)])
