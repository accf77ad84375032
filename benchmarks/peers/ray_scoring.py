"""Scoring with Ray Data: `python -m benchmarks.peers.ray_scoring JOB`, in its own venv.

Texts lie in Ray's object store, so that no task that reads takes a core from the actors; two actors of one core and one
thread each map batches, in which the model gets 32 texts at a time, padded to their longest. Ray starts its actors anew
for every pass over a dataset: to measure them warm, the clock starts when both have loaded the model and done the
warm-up rows, which come first, and only rows behind that moment count. JOB: see `spark_runs.py` and `spark_scoring.py`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.data import ActorPoolStrategy, DataContext

from benchmarks.peers.stock_model import BATCH, StockModel


class Scorer:
    """One actor."""

    def __init__(self, directory: str, max_length: int) -> None:
        self.model = StockModel(directory, max_length)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """The predictions of a batch, and which process had them ready when."""
        texts = batch["text"]
        parts = [self.model.predict(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        found = {name: np.concatenate([part[name] for part in parts]) for name in ("label", "score", "probabilities")}
        count = len(texts)
        return {
            "id": batch["id"],
            **found,
            "label": found["label"].astype(str),
            "actor": np.full(count, os.getpid()),
            "done": np.full(count, time.time()),
        }


def main() -> None:
    """Score all rows once."""
    job = json.loads(Path(sys.argv[-1]).read_text())
    table = pq.read_table(job["texts"], columns=["id", "text"]).slice(0, job["rows"])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    size = job["block_rows"]
    blocks = [table.slice(start, size).combine_chunks() for start in range(0, len(table), size)]
    scored = ray.data.from_arrow(blocks).map_batches(
        Scorer,
        batch_size=job["batch"],
        fn_constructor_args=(job["stock"], job["max_length"]),
        compute=ActorPoolStrategy(size=2),
        num_cpus=1,
    )
    first_seconds, parts = None, []
    for batch in scored.iter_batches(batch_size=None, batch_format="pyarrow"):
        first_seconds = first_seconds or time.time() - job["began"]
        parts.append(batch)
    ended = time.time()
    found = pa.concat_tables(parts)
    assert sorted(found["id"].to_pylist()) == list(range(job["rows"])), "rows are missing"
    done, actors = found["done"].to_numpy(), found["actor"].to_numpy()
    assert len(set(actors)) == 2, "one actor did everything"
    warm = max(first_batches_end(done[actors == actor], job["warm_rows"] // 2) for actor in set(actors))
    values = {"rows": int((done > warm).sum()), "seconds": ended - warm, "first_seconds": first_seconds}
    if job["answer_rows"]:
        pq.write_table(found.select(["id", "label", "probabilities"]).sort_by("id"), job["answers"])
    Path(job["output"]).write_text(json.dumps(values))


def first_batches_end(done: np.ndarray, rows: int) -> float:
    """When an actor had done as many rows."""
    return float(np.sort(done)[min(rows, len(done)) - 1])


if __name__ == "__main__":
    main()
