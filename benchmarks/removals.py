"""How right the removals of a near-duplicate run are, against exact Jaccard similarities of a sample.

A sample of different texts is compared with *all* different texts by brute force (a sparse matrix product of
shingle sets), so no index or signature has a say in what the truth is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.sparse as sparse

from spark_jobs.dedup.shingles import shingle

SHINGLE_LENGTH = 5
_ROWS_AT_ONCE = 250


class Removals(NamedTuple):
    """Of the sampled pairs over the threshold, the share of which not both texts were kept; of the sampled
    removed texts, the share that has a kept text over the threshold.
    """

    recall: float
    precision: float
    pairs: int
    removed: int


def judge_removals(texts: Sequence[str], kept: npt.NDArray[np.bool_], sample: int, threshold: float) -> Removals:
    """Compare `sample` texts, evenly spaced, with all.

    Args:
        texts: different texts, N of them.
        kept: which of them a system has kept, shape (N,).
        sample: number of texts to compare with all others.
        threshold: least Jaccard similarity of a duplicate.
    """
    sets = _matrix(texts)
    sizes = np.diff(sets.indptr)
    chosen = np.flatnonzero(sizes > 0)[:: max(1, int((sizes > 0).sum()) // sample)][:sample]
    columns = sets.T.tocsr()
    pairs = caught = removed = justified = 0
    for start in range(0, len(chosen), _ROWS_AT_ONCE):
        rows = chosen[start : start + _ROWS_AT_ONCE]
        common = (sets[rows] @ columns).tocoo()  # shared shingles, (rows, N)
        left, right = rows[common.row], common.col
        similar = common.data / (sizes[left] + sizes[right] - common.data) >= threshold
        other = similar & (left != right)
        pairs += int(other.sum())
        caught += int((other & ~(kept[left] & kept[right])).sum())
        has_kept_twin = np.zeros(len(texts), bool)
        has_kept_twin[left[other & kept[right]]] = True
        removed += int((~kept[rows]).sum())
        justified += int((~kept[rows] & has_kept_twin[rows]).sum())
    return Removals(caught / max(pairs, 1), justified / max(removed, 1), pairs, removed)


def _matrix(texts: Sequence[str]) -> sparse.csr_matrix:
    """Texts by shingles, 1 where a text has one."""
    found = shingle(pa.array(texts, pa.string()), unit="word", length=SHINGLE_LENGTH)
    different, codes = np.unique(found.hashes, return_inverse=True)
    ones = np.ones(len(codes), np.int32)
    return sparse.csr_matrix((ones, codes, found.offsets), shape=(len(texts), len(different)))
