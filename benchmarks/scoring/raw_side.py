"""The same backend without Spark: `python -m benchmarks.scoring.raw_side JOB`, a process of one thread for each core.

Each holds its share of the texts in memory and gives all of them to the model at once, to be sorted by length and cut
by tokens as in a Spark worker, and keeps the logits. The clock runs from the moment when all have the model and
have warmed up until the last one is done. JOB: as for `our_side.py`.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.peers.spark_runs import Job, read_job
from spark_jobs.predictor import load_predictor

_BATCH_TOKENS = 2048  # the default of `predict_udf`


def main() -> None:
    """Run the job."""
    job = read_job()
    context = multiprocessing.get_context("spawn")
    found: Queue[dict[str, Any]] = context.Queue()
    barrier = context.Barrier(job["tasks"])
    processes = [context.Process(target=_score, args=(job, part, barrier, found)) for part in range(job["tasks"])]
    for process in processes:
        process.start()
    parts = [found.get() for _ in processes]
    for process in processes:
        process.join()
    values = {
        "rows": sum(part["rows"] for part in parts),
        "seconds": max(part["ended"] for part in parts) - min(part["began"] for part in parts),
        "first_seconds": min(part["first"] for part in parts) - job["began"],
    }
    assert values["rows"] == job["rows"], "the file holds fewer rows"
    Path(job["output"]).write_text(json.dumps(values))


def _score(job: Job, part: int, barrier: Barrier, found: Queue[dict[str, Any]]) -> None:
    texts = pq.read_table(job["texts"], columns=["text"])["text"].to_pylist()[: job["rows"]][part :: job["tasks"]]
    predictor = load_predictor(job["model"], job["threads"], _BATCH_TOKENS, job["backend"])
    predictor.outputs(predictor.encode(texts[:1]))
    first = time.time()
    predictor.outputs(predictor.encode(texts[: job["warm_rows"] // job["tasks"]]))
    barrier.wait()
    began = time.time()
    logits = predictor.outputs(predictor.encode(texts)).logits
    ended = time.time()
    found.put({"first": first, "began": began, "ended": ended, "rows": len(logits)})


if __name__ == "__main__":
    main()
