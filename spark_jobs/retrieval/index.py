"""An index of a large bank: faiss proposes vectors by their cells, and how many true neighbours it misses is measured.

The only home of faiss. Vectors are stored in cells around centres (IVF) with 8 bits for a number; a query looks into
the `probes` nearest cells. What these propose is scored in float64 from the vectors themselves, as without an index, so
scores are the same and only a neighbour can be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mapring.errors import StageError
from spark_jobs.retrieval.products import Vectors
from spark_jobs.retrieval.top_k import Integers, Nearest, decide, nearest, vectors_at

CUTOFFS = (1, 10, 100)  # numbers of neighbours at which the recall is measured; no more can be asked for
_SAMPLE = 256  # queries of each kind
_SEED = 17
_TRAINING_ROWS_PER_CELL = 64


class Index(NamedTuple):
    """An index as it is published, with the cells a query looks into and the share of true neighbours it then finds.

    `recalls` has one share for each of `CUTOFFS` that the bank is large enough for, by `vectors` and by `between`.
    """

    content: bytes
    cells: int
    probes: int
    recalls: dict[str, dict[str, float]]


def build_index(blocks: Sequence[Vectors], order: Integers, *, min_recall: float, threads: int) -> Index:
    """An index that finds at least `min_recall` of the true neighbours at every cutoff.

    The number of probed cells is doubled until it does. The queries are vectors of the bank, and points between two
    of them, which are as far from it as new texts may be.

    Args:
        blocks: the bank, as for `nearest`.
        order: of its vectors among those of equal score, as for `nearest`.
        min_recall: from 0 to 1.
        threads: what faiss may use.

    Raises:
        StageError: faiss is not installed, or not even all cells are enough.
    """
    library = _library(threads)
    count, width = sum(map(len, blocks)), blocks[0].shape[1]
    cells = max(1, min(int(4 * np.sqrt(count)), count // 39))  # faiss wants 39 vectors for a cell to be trained
    chance = np.random.default_rng(_SEED)
    index = library.index_factory(width, f"IVF{cells},SQ8", library.METRIC_INNER_PRODUCT)
    index.cp.seed = _SEED
    sample = np.sort(chance.permutation(count)[: cells * _TRAINING_ROWS_PER_CELL])
    index.train(vectors_at(blocks, sample))
    for block in blocks:
        index.add(np.ascontiguousarray(block))
    queries = _queries(blocks, count, chance)
    most = min(max(CUTOFFS), count)
    true = {name: nearest(vectors, blocks, most, order, threads=threads) for name, vectors in queries.items()}
    probes = min(8, cells)
    while True:
        searched = _Searcher(index, probes)
        recalls = {
            name: _recalls(true[name], searched.nearest(vectors, blocks, most, order))
            for name, vectors in queries.items()
        }
        least = min(min(found.values()) for found in recalls.values())
        if least >= min_recall:
            return Index(library.serialize_index(index).tobytes(), cells, probes, recalls)
        if probes == cells:
            raise StageError(
                f"score.retrieval.min_recall: found {least:.4f} of the true neighbours with an index of {count:,} "
                f"templates though all its cells were looked into, expected {min_recall}; lower it, or raise "
                "score.retrieval.library_above to search without an index"
            )
        probes = min(2 * probes, cells)


def open_index(path: Path, probes: int, threads: int) -> _Searcher:
    """A published index, mapped into memory."""
    library = _library(threads)
    return _Searcher(library.read_index(str(path), library.IO_FLAG_MMAP), probes)


class _Searcher:
    """An index with a number of cells to look into."""

    def __init__(self, index: Any, probes: int) -> None:
        self._index, self._index.nprobe = index, probes

    def nearest(self, queries: Vectors, blocks: Sequence[Vectors], count: int, order: Integers) -> Nearest:
        """As `top_k.nearest`, but of the vectors in the cells that are looked into.

        Scores with 8 bits are wrong by up to some thousandths, so four times as many are proposed. Where the cells
        hold fewer than `count` vectors, the last places are -1 and their scores -inf.
        """
        if not len(queries):
            return Nearest(np.empty((0, count), np.int64), np.empty((0, count)))
        _, proposed = self._index.search(np.ascontiguousarray(queries), min(4 * count + 32, self._index.ntotal))
        return decide(queries, blocks, proposed.astype(np.int64), count, order)


def _library(threads: int) -> Any:
    try:
        import faiss
    except ImportError:
        raise StageError(
            "score.retrieval.library_above: found more templates than that, which need faiss, and it is not "
            "installed; install mapring[faiss] wherever Spark's tasks run, or raise it to search without an index"
        ) from None
    faiss.omp_set_num_threads(threads)
    return faiss


def _queries(blocks: Sequence[Vectors], count: int, chance: np.random.Generator) -> dict[str, Vectors]:
    places = chance.integers(count, size=(3, _SAMPLE))
    own, left, right = (vectors_at(blocks, row) for row in places)
    between = left + right
    lengths = np.maximum(np.linalg.norm(between, axis=1, keepdims=True), np.float32(1e-6))
    return {"vectors": own, "between": between / lengths}


def _recalls(true: Nearest, found: Nearest) -> dict[str, float]:
    """The share of true neighbours, at each cutoff; another vector of the same score counts as the true one."""
    recalls = {}
    for cutoff in CUTOFFS:
        if cutoff <= true.scores.shape[1]:
            least = true.scores[:, cutoff - 1 : cutoff]
            recalls[str(cutoff)] = float((found.scores[:, :cutoff] >= least).mean())
    return recalls
