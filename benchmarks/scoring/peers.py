"""Our UDF beside other ways to score the same texts, and beside its own backend without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from benchmarks.results import Figure, figure
from benchmarks.scoring.gates import FP32, GATES, chosen_backend, name_of
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
from benchmarks.scoring.speed import Comparison, compare_labels, loads_per_worker, metric_loss, times_as_fast

_BATCH_UDF = "pyspark 4.3.0 predict_batch_udf, transformers 5.23.0"
_RAY = "Ray Data 2.60.0, transformers 5.23.0"


def peer_figures() -> list[Figure]:
    """All sides in turn; raises ValueError where ours gives other labels than the peers."""
    base = ground()
    fp32 = chosen_backend(base, max(GATES.values()), FP32)
    gated = {name: chosen_backend(base, agreement) for name, agreement in GATES.items()}
    sides: Sequence[Side] = (
        ours(base, arguments={"backend": fp32}),
        in_spark(base, "batch_udf", answers=ROWS),
        *(ours(base, name, arguments={"backend": directory}) for name, directory in gated.items()),
        ours(base, "one_task", arguments={"backend": fp32}, tasks=1, threads=CORES, answers=0),
        ours(base, "torch", answers=0),
        raw(base, fp32),
        on_ray(base),
        in_spark(base, "padded", rows=slow_rows()),
        in_spark(base, "pipeline", rows=slow_rows()),
    )
    measured = measure_in_turn(base, sides)
    backends = {name: name_of(directory) for name, directory in gated.items()}
    note("peers", {"rows": ROWS, "backends": backends, "agreement": agreements(measured), **_notes(measured)})
    return figures_of(measured, pq.read_table(base.texts)["label"].to_pylist())


def agreements(measured: Measured) -> dict[str, float]:
    """Shares of rows with equal labels: of sides in fp32 with `predict_batch_udf`, of gated ones with ours in fp32.

    Raises:
        ValueError: sides in fp32 differ by more than ties.
    """
    found = {}
    for side in ("mapring", "ray"):
        comparison = _compare(measured, side, "batch_udf")
        if comparison.surely_different:
            raise ValueError(
                f"{side} and batch_udf give other labels to {len(comparison.surely_different):,} rows, the first "
                f"{comparison.surely_different[:5]}; expected the same from one model in fp32"
            )
        found[side] = comparison.agreement
    return {**found, **{side: _compare(measured, side, "mapring").agreement for side in GATES}}


def figures_of(measured: Measured, truth: Sequence[str]) -> list[Figure]:
    """The figures of all sides' runs; `truth` are the labels of the rows that ours answered."""
    speeds = measured.speeds
    fp32, peer = speeds["mapring"], speeds["batch_udf"]
    loads = [found["loads"] for side in ("mapring", *GATES) for found in measured.found[side]]
    labels = {side: measured.answers[side]["label"].to_pylist() for side in ("mapring", "gated98")}
    loss = metric_loss(truth, labels["mapring"], labels["gated98"])
    return [
        figure("fp32_vs_predict_batch_udf", times_as_fast(fp32, peer), 2, "ratio", peer=_BATCH_UDF),
        *(
            figure(f"{name}_vs_predict_batch_udf", times_as_fast(speeds[name], peer), goal, "ratio", peer=_BATCH_UDF)
            for name, goal in (("gated995", 5), ("gated98", 7))
        ),
        figure("gated98_metric_loss", loss, 0.003, "share", better="lower", peer="fp32"),
        figure("spark_vs_raw_backend", times_as_fast(fp32, speeds["raw"]), 0.9, "ratio", peer="two processes"),
        figure("vs_ray_data", times_as_fast(fp32, speeds["ray"]), 1.2, "ratio", peer=_RAY),
        figure("model_loads_per_worker", loads_per_worker(loads, CORES), 1, "loads", better="lower"),
    ]


def _compare(measured: Measured, side: str, peer: str) -> Comparison:
    found, expected = measured.answers[side], measured.answers[peer]
    common = min(len(found), len(expected))  # sides that take long label fewer, the first ones
    return compare_labels(found.slice(0, common), expected.slice(0, common))


def _notes(measured: Measured) -> dict[str, Any]:
    return {"speeds": {side: [speed._asdict() for speed in speeds] for side, speeds in measured.speeds.items()}}
