"""What runs of several sides say: medians, ratios, and whether both gave the same labels; pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_MIB = 1 << 20


class Speed(NamedTuple):
    """One run: texts a second; seconds from its start to the first result; peaks in bytes of one worker and of all."""

    rows_per_second: float
    first_seconds: float
    worker_bytes: float
    all_bytes: float


def median_speed(runs: Sequence[Speed]) -> Speed:
    """The medians of all values, each by itself."""
    return Speed(*(statistics.median(values) for values in zip(*runs, strict=True)))


def times_as_fast(ours: Sequence[Speed], theirs: Sequence[Speed]) -> float:
    """Our median speed over theirs."""
    return median_speed(ours).rows_per_second / median_speed(theirs).rows_per_second


class Comparison(NamedTuple):
    """`agreement`: share of rows with equal labels. `surely_different`: those whose labels differ, and not by a tie."""

    agreement: float
    surely_different: list[int]


def compare_labels(ours: pa.Table, theirs: pa.Table, tie: float = 1e-4) -> Comparison:
    """Hold the labels of two sides against each other, row by row.

    Args:
        ours: `id`, `label` and `probabilities`, in the order of `id`.
        theirs: the same.
        tie: rows whose two largest probabilities, by theirs, are nearer than this may have either label: sums in fp32
            end otherwise in another order.

    Raises:
        ValueError: they hold other rows.
    """
    if ours["id"].to_pylist() != theirs["id"].to_pylist():
        raise ValueError(f"found {len(ours):,} and {len(theirs):,} rows with other ids; both sides must score all rows")
    different = np.array(ours["label"].to_pylist(), object) != np.array(theirs["label"].to_pylist(), object)  # (N,)
    probabilities = np.sort(np.array(theirs["probabilities"].to_pylist()), axis=1)  # (N, C)
    apart = probabilities[:, -1] - probabilities[:, -2] >= tie
    return Comparison(1 - float(different.mean()), np.flatnonzero(different & apart).tolist())


def metric_loss(truth: Sequence[str], reference: Sequence[str], chosen: Sequence[str]) -> float:
    """Accuracy that is lost with the chosen labels instead of the reference's; below 0 where it is gained."""

    def accuracy(labels: Sequence[str]) -> float:
        right: npt.NDArray[np.bool_] = np.array(labels, object) == np.array(truth, object)
        return float(right.mean())

    return accuracy(reference) - accuracy(chosen)


def loads_per_worker(loads: Sequence[Mapping[str, int]], workers: int) -> int:
    """The most often that a worker has loaded a model, over all runs.

    Raises:
        ValueError: a run had another number of workers, so that one of them has ended in between, and its successor
            has loaded the model again.
    """
    for found in loads:
        if len(found) != workers:
            raise ValueError(f"found {len(found)} workers that loaded a model, expected {workers}")
    return max(count for found in loads for count in found.values())


def speed_table(runs: Mapping[str, Sequence[Speed]], names: Mapping[str, str], reference: str) -> str:
    """The sides as a table in Markdown: speed, how it compares with a reference, first result and memory."""
    lines = [
        "| | Texts/s | Times the speed | First result | A worker | All processes |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for side, found in runs.items():
        speed = median_speed(found)
        times = times_as_fast(found, runs[reference])
        lines.append(
            f"| {names[side]} | {speed.rows_per_second:,.0f} | {times:.2f} | {speed.first_seconds:.1f} s | "
            f"{speed.worker_bytes / _MIB:,.0f} MiB | {speed.all_bytes / _MIB:,.0f} MiB |"
        )
    return "".join(f"{line}\n" for line in lines)


def gate_table(backends: Mapping[str, str], agreement: Mapping[str, float], names: Mapping[str, str]) -> str:
    """Which backend each gate let through, and how often it has the label of fp32 on the texts, in Markdown."""
    lines = ["| | Chosen | Same label as fp32 |", "|---|---|---:|"]
    lines += [f"| {name} | `{backends[side]}` | {agreement[side]:.2%} |" for side, name in names.items()]
    return "".join(f"{line}\n" for line in lines)


def thread_table(runs: Mapping[tuple[int, int], Sequence[Speed]]) -> str:
    """Speeds by (tasks at a time, threads of each) as a table in Markdown."""
    lines = ["| Tasks at a time | Threads of each | Texts/s | Memory of all workers |", "|---:|---:|---:|---:|"]
    for (tasks, threads), found in sorted(runs.items(), reverse=True):
        speed = median_speed(found)
        memory = speed.worker_bytes * tasks / _MIB
        lines.append(f"| {tasks} | {threads} | {speed.rows_per_second:,.0f} | {memory:,.0f} MiB |")
    return "".join(f"{line}\n" for line in lines)
