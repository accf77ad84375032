"""Our UDF beside other ways to score the same texts, and beside its own backend without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from benchmarks.results import Figure, figure
from benchmarks.scoring.gates import GATES, chosen_backend, name_of
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
    """All sides in turn; raises AssertionError where ours gives other labels than the peers."""
    base = ground()
    gated = {name: chosen_backend(base, agreement) for name, agreement in GATES.items()}
    sides: Sequence[Side] = (
        ours(base),
        in_spark(base, "batch_udf", answers=ROWS),
        *(ours(base, name, arguments={"backend": directory}) for name, directory in gated.items()),
        ours(base, "one_task", tasks=1, threads=CORES, answers=0),
        raw(base),
        on_ray(base),
        in_spark(base, "padded", rows=slow_rows()),
        in_spark(base, "pipeline", rows=slow_rows()),
    )
    measured = measure_in_turn(base, sides)
    exact = {side: _agreement_in_fp32(measured, side, "batch_udf") for side in ("mapring", "ray")}
    agreement = {**exact, **{name: _compare(measured, name, "mapring").agreement for name in gated}}
    backends = {name: name_of(directory) for name, directory in gated.items()}
    note("peers", {"rows": ROWS, "agreement": agreement, "backends": backends, **_notes(measured)})
    truth = pq.read_table(base.texts)["label"].to_pylist()  # of LABELLED_ROWS
    loss = metric_loss(truth, _labels(measured, "mapring"), _labels(measured, "gated98"))
    speeds = measured.speeds
    fp32, peer = speeds["mapring"], speeds["batch_udf"]
    own = ("mapring", *gated)
    loads = loads_per_worker([found["loads"] for side in own for found in measured.found[side]], CORES)
    return [
        figure("fp32_vs_predict_batch_udf", times_as_fast(fp32, peer), 2, "ratio", peer=_BATCH_UDF),
        *(
            figure(f"{name}_vs_predict_batch_udf", times_as_fast(speeds[name], peer), goal, "ratio", peer=_BATCH_UDF)
            for name, goal in (("gated995", 5), ("gated98", 7))
        ),
        figure("gated98_metric_loss", loss, 0.003, "share", better="lower", peer="fp32"),
        figure("spark_vs_raw_backend", times_as_fast(fp32, speeds["raw"]), 0.9, "ratio", peer="two processes"),
        figure("vs_ray_data", times_as_fast(fp32, speeds["ray"]), 1.2, "ratio", peer=_RAY),
        figure("model_loads_per_worker", loads, 1, "loads", better="lower"),
    ]


def _agreement_in_fp32(measured: Measured, side: str, peer: str) -> float:
    """The share of equal labels of two sides in fp32, which must be equal but for ties."""
    found = _compare(measured, side, peer)
    assert not found.surely_different, f"{side} and {peer} give other labels to the rows {found.surely_different[:10]}"
    return found.agreement


def _compare(measured: Measured, side: str, peer: str) -> Comparison:
    found, expected = (pq.read_table(measured.answers_of(name)) for name in (side, peer))
    common = min(len(found), len(expected))  # sides that take long label fewer, the first ones
    return compare_labels(found.slice(0, common), expected.slice(0, common))


def _labels(measured: Measured, side: str) -> list[str]:
    labels: list[str] = pq.read_table(measured.answers_of(side))["label"].to_pylist()
    return labels


def _notes(measured: Measured) -> dict[str, Any]:
    return {"speeds": {side: [speed._asdict() for speed in speeds] for side, speeds in measured.speeds.items()}}
