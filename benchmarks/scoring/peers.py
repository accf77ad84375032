"""Our UDF beside other ways to score the same texts, and beside its own backend without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from benchmarks.results import Figure, figure
from benchmarks.scoring.ground import ROWS, ground
from benchmarks.scoring.noted import note
from benchmarks.scoring.sides import (
    CORES,
    Measured,
    Side,
    in_spark,
    measure_in_turn,
    on_ray,
    ours,
    raw,
    slow_rows,
)
from benchmarks.scoring.speed import compare_labels, loads_per_worker, times_as_fast

_BATCH_UDF = "pyspark 4.3.0 predict_batch_udf, transformers 5.23.0"
_RAY = "Ray Data 2.60.0, transformers 5.23.0"


def peer_figures() -> list[Figure]:
    """All sides in turn; raises AssertionError where ours gives other labels than the peers."""
    base = ground()
    sides: Sequence[Side] = (
        ours(base),
        in_spark(base, "batch_udf", gives_answers=True),
        raw(base),
        on_ray(base),
        in_spark(base, "padded", rows=slow_rows()),
        in_spark(base, "pipeline", rows=slow_rows()),
    )
    measured = measure_in_turn(base, sides)
    agreement = {side: _agreement(measured, side, "batch_udf") for side in ("mapring", "ray")}
    note("peers", {"rows": ROWS, "agreement": agreement, **_notes(measured)})
    speeds = measured.speeds
    fp32, peer = speeds["mapring"], speeds["batch_udf"]
    loads = loads_per_worker([found["loads"] for found in measured.found["mapring"]], CORES)
    return [
        figure("fp32_vs_predict_batch_udf", times_as_fast(fp32, peer), 2, "ratio", peer=_BATCH_UDF),
        figure("spark_vs_raw_backend", times_as_fast(fp32, speeds["raw"]), 0.9, "ratio", peer="two processes"),
        figure("vs_ray_data", times_as_fast(fp32, speeds["ray"]), 1.2, "ratio", peer=_RAY),
        figure("model_loads_per_worker", loads, 1, "loads", better="lower"),
    ]


def thread_figures() -> list[Figure]:
    """Two tasks of one thread beside one task of two: noted for the page, and no figure with a goal."""
    base = ground()
    shapes = ((2, 1), (1, 2))
    sides = [
        ours(base, f"{tasks}x{threads}", tasks=tasks, threads=threads, gives_answers=False) for tasks, threads in shapes
    ]
    note("threads", {"rows": ROWS, **_notes(measure_in_turn(base, sides))})
    return []


def _agreement(measured: Measured, side: str, peer: str) -> float:
    """The share of equal labels of two sides in fp32, which must be equal but for ties."""
    found = compare_labels(pq.read_table(measured.answers_of(side)), pq.read_table(measured.answers_of(peer)))
    assert not found.surely_different, f"{side} and {peer} give other labels to the rows {found.surely_different[:10]}"
    return found.agreement


def _notes(measured: Measured) -> dict[str, Any]:
    return {"speeds": {side: [speed._asdict() for speed in speeds] for side, speeds in measured.speeds.items()}}
