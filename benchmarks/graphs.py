"""Who stays in a chain and in a star of a million duplicates: decided in the driver, and by Spark alone.

`python -m benchmarks.graphs SHAPE WAY` decides one graph in this process and prints the seconds; `graph_figures`
starts one process for each, so that memory and time are those of a job that does nothing else.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.processes import run
from benchmarks.results import Figure, figure

Shape = Literal["chain", "star"]
Way = Literal["driver", "spark"]

NODES = 1_000_000
_MOST_LOCAL = {"driver": NODES, "spark": 0}
_LOGS = Path(__file__).resolve().parents[1] / "build" / "benchmarks" / "logs"


class Solved(NamedTuple):
    """What deciding a graph took, and how many nodes it dropped."""

    seconds: float
    rounds: int
    dropped: int


def main() -> int:
    """Decide one graph and print what it took; returns the exit code."""
    shape, way = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="mapring-graph-") as folder:
        print(solve(shape, way, NODES, folder).seconds)  # type: ignore[arg-type]  # noqa: T201
    return 0


def graph_figures() -> list[Figure]:
    """For each shape the seconds of the slower way, session start included; and the memory of the driver."""
    figures: list[Figure] = []
    peak = 0
    for shape in get_args(Shape):
        seconds = []
        for way in get_args(Way):
            words = [sys.executable, "-m", "benchmarks.graphs", shape, way]
            done = run(words, log=_LOGS / f"graph-{shape}-{way}.log", chosen=_is_driver)
            seconds.append(done.seconds)
            peak = max(peak, done.peak_chosen)
        figures.append(figure(f"{shape}_1m_seconds", max(seconds), 180, "s", better="lower"))
    return [*figures, figure("graph_driver_peak_rss_gb", peak / (1 << 30), 2, "GiB", better="lower")]


def _is_driver(process: psutil.Process) -> bool:
    """Whether a process is the JVM or the Python that started it; in local mode the JVM is the executor as well."""
    words = process.cmdline()
    return any(word.endswith("SparkSubmit") for word in words) or "benchmarks.graphs" in words


def solve(shape: Shape, way: Way, nodes: int, folder: str) -> Solved:
    """Decide a graph as preprocessing does; files go below `folder`."""
    from pyspark.sql import SparkSession

    from spark_jobs.dedup.independent_set import drop_duplicates

    began = time.monotonic()
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
    spark.conf.set("spark.sql.shuffle.partitions", "4")
    path = f"{folder}/{shape}-{way}.parquet"
    pq.write_table(edges_of(*ends_of(shape, nodes)), path, row_group_size=1 << 16)
    edges = spark.read.parquet(path).persist()
    rounds: list[tuple[int, int]] = []
    dropped = drop_duplicates(
        edges,
        scratch=f"{folder}/{shape}-{way}",
        on_round=lambda *told: rounds.append(told),
        most_local=_MOST_LOCAL[way],
    ).count()
    edges.unpersist()
    return Solved(time.monotonic() - began, len(rounds), dropped)


def ends_of(shape: Shape, nodes: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The two ends of every edge, each shape (nodes - 1,): numbers in a random order, the least stays first."""
    order = np.random.Generator(np.random.PCG64(1)).permutation(nodes)
    first = order[:-1] if shape == "chain" else np.full(nodes - 1, order[0])
    return np.minimum(first, order[1:]), np.maximum(first, order[1:])


def edges_of(low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> pa.Table:
    """The edges with names of 17 bytes, as documents have them, in the order of the numbers."""
    names = [pa.array([b"\1%016d" % number for number in ends.tolist()], pa.binary()) for ends in (low, high)]
    return pa.table([*names, pa.repeat(0.9, len(low))], names=["low", "high", "similarity"])


if __name__ == "__main__":
    sys.exit(main())
