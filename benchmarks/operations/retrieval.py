"""The nearest templates of many texts at once, beside a loop: `python -m benchmarks.operations retrieval`.

Both find the ten nearest of 20,000 templates for 4,096 texts, with made-up embeddings of 384 numbers. The loop is what
one writes at first: a product of the bank with each text's vector, and a sort of what comes out. Both have the same
arrays, the same BLAS and all cores; they take turns, and the medians of three rounds are compared. The loop is run with
a thread of BLAS for each core and with one, which is faster where others use the machine, and its faster way counts.
Four searches before the first round make the process one that has been at work for some seconds: where the processor
multiplies bfloat16 by itself, what is proposed is then found with it (`spark_jobs/retrieval/products.py`).
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from benchmarks.results import Figure, figure
from spark_jobs.retrieval.products import Vectors
from spark_jobs.retrieval.top_k import Integers, nearest

QUERIES, TEMPLATES, DIMENSIONS, COUNT, ROUNDS = 4096, 20_000, 384, 10, 3
_CLUSTERS, _SEED, _BEFORE = 200, 17, 4


def retrieval_figures() -> list[Figure]:
    """How many times as fast batched search is as the loop, both of which find the same templates."""
    chance = np.random.default_rng(_SEED)
    topics = chance.standard_normal((_CLUSTERS, DIMENSIONS))  # texts have topics: neighbours are nearer than by chance
    bank, queries = _made(TEMPLATES, topics, chance), _made(QUERIES, topics, chance)
    order, cores = np.arange(TEMPLATES), len(os.sched_getaffinity(0))
    sides: dict[str, Callable[[], Integers]] = {
        "batched": lambda: nearest(queries, [bank], COUNT, order, threads=cores).places,
        "loop": lambda: _loop(queries, bank, cores),
        "loop on one thread": lambda: _loop(queries, bank, 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(_BEFORE):
        sides["batched"]()
    for _ in range(ROUNDS):
        found = {}
        for name, side in sides.items():
            start = time.perf_counter()
            found[name] = side()
            seconds[name].append(time.perf_counter() - start)
        same = float((found["batched"] == found["loop"]).mean())
        assert same > 0.999, f"only {same:.4%} of the places are the same"  # float32 swaps what is equal to 7 digits
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    sys.stdout.write(f"seconds of each round: {seconds}\n")
    loop, batched = min(medians["loop"], medians["loop on one thread"]), medians["batched"]
    return [figure("retrieval_exact_vs_loop", loop / batched, 20, "times", peer=f"numpy {np.__version__}, row by row")]


def _loop(queries: Vectors, bank: Vectors, threads: int) -> Integers:
    found = []
    with threadpool_limits(threads, "blas"):
        for query in queries:
            scores = bank @ query
            found.append(np.argsort(-scores)[:COUNT])
    return np.array(found)


def _made(rows: int, topics: npt.NDArray[np.float64], chance: np.random.Generator) -> Vectors:
    vectors = topics[chance.integers(len(topics), size=rows)] + chance.standard_normal((rows, DIMENSIONS))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / lengths).astype(np.float32)
    return unit
