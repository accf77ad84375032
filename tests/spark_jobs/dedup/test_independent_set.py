"""The independent set: the greedy one of the order, for any graph, in the driver and in Spark alike."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from benchmarks.graphs import edges_of, ends_of
from spark_jobs.dedup.independent_set import drop_duplicates, first_independent_set

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

edge_lists = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20)).filter(lambda edge: edge[0] != edge[1]).map(sorted), max_size=60
).map(lambda edges: sorted({(low, high) for low, high in edges}))


def greedy(edges: list[tuple[int, int]]) -> set[int]:
    """Dropped nodes of the definition: in order, a node stays unless a neighbour before it stays."""
    dropped: set[int] = set()
    for node in sorted({end for edge in edges for end in edge}):
        if any(low not in dropped for low, high in edges if high == node):
            dropped.add(node)
    return dropped


def solve(edges: list[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    low, high = np.array(edges, np.int64).reshape(-1, 2).T
    twins = first_independent_set(low, high, 21)
    return {d: (k, e) for d, k, e in zip(twins.dropped.tolist(), twins.kept.tolist(), twins.edge.tolist(), strict=True)}


@given(edge_lists)
def test_it_is_the_greedy_set_and_every_dropped_node_has_a_kept_neighbour(edges: list[tuple[int, int]]) -> None:
    found = solve(edges)
    assert set(found) == greedy(edges)
    for dropped, (kept, edge) in found.items():
        assert kept not in found and edges[edge] == (kept, dropped)
    assert not [edge for edge in edges if edge[0] not in found and edge[1] not in found], "kept ones are independent"


@pytest.mark.parametrize("shape", ["chain", "star"])
def test_a_million_nodes_finish(shape: str) -> None:
    count = 1_000_000
    low, high = ends_of(shape, count)  # type: ignore[arg-type]
    began = time.monotonic()
    twins = first_independent_set(low, high, count)
    assert time.monotonic() - began < 30
    assert len(twins.dropped) in ((1, count - 1) if shape == "star" else range(count // 2, count * 3 // 5))


@pytest.fixture(scope="module")
def spark() -> SparkSession:
    session = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()
    session.conf.set("spark.sql.shuffle.partitions", "4")
    return session


def test_spark_finds_the_same_set_as_the_driver(spark: SparkSession, tmp_path: Path) -> None:
    generator = np.random.Generator(np.random.PCG64(3))
    pairs = {tuple(sorted(pair)) for pair in generator.integers(0, 60, (90, 2)).tolist() if pair[0] != pair[1]}
    rows = [(low.to_bytes(16, "big"), high.to_bytes(16, "big"), 0.9) for low, high in sorted(pairs)]
    edges = spark.createDataFrame(rows, "low binary, high binary, similarity double").persist()
    found = {}
    rounds: list[tuple[int, int]] = []
    for most_local in (0, 10, 1000):
        scratch = tmp_path / str(most_local)
        rounds.clear()
        dropped = drop_duplicates(
            edges, scratch=str(scratch), on_round=lambda *told: rounds.append(told), most_local=most_local
        )
        found[most_local] = {
            (int.from_bytes(row["high"], "big"), int.from_bytes(row["low"], "big")) for row in dropped.collect()
        }
        assert (len(rounds) > 1) == (most_local < len(rows))
    assert found[0] == found[10] == found[1000]
    assert {high for high, _ in found[0]} == greedy(sorted(pairs))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["chain", "star"])
def test_spark_alone_decides_a_million_nodes_as_the_driver_does(
    spark: SparkSession, tmp_path: Path, shape: str
) -> None:
    count = 1_000_000
    low, high = ends_of(shape, count)  # type: ignore[arg-type]
    pq.write_table(edges_of(low, high), tmp_path / "edges.parquet")
    edges = spark.read.parquet(str(tmp_path / "edges.parquet"))
    rounds: list[int] = []
    scratch = str(tmp_path / "scratch")
    dropped = drop_duplicates(edges, scratch=scratch, on_round=lambda _, left: rounds.append(left), most_local=0)
    names = dropped.select("high", "low").toArrow()
    assert len(rounds) < 20 and rounds == sorted(rounds, reverse=True) and rounds[-1] == 0
    plan = dropped._jdf.queryExecution().optimizedPlan().toString()
    assert "Join" not in plan, "a round's joins are done when the next begins"
    twins = first_independent_set(low, high, count)
    found = {
        (int(row_high[1:]), int(row_low[1:])) for row_high, row_low in zip(*names.to_pydict().values(), strict=True)
    }
    assert found == set(zip(twins.dropped.tolist(), twins.kept.tolist(), strict=True))
