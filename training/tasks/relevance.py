"""Pairs as queries and their candidates: rows of one first text, ranked by what a model says of the second."""

from __future__ import annotations

import hashlib

import numpy as np

from mapring.contract import read_manifest
from mapring.discounted_gain import query_figures
from mapring.pairs import split_pair
from training.batches import Integers
from training.figures.fixed_point import Floats
from training.figures.ranking import average_precision, roc_auc
from training.reader import Batch
from training.ring import Ring


def are_pairs(shards_directory: str) -> bool:
    """Whether the rows of published shards are pairs."""
    return bool(read_manifest(shards_directory).details.get("pairs", False))


class RankedPairs:
    """Labelled pairs of this rank, with their score and how relevant they are; nothing of single texts.

    A query is the first text, whole, also where the model saw less of it; 16 bytes of its hash stand for it.
    """

    def __init__(self) -> None:
        self._queries: list[bytes] = []
        self._scores: list[float] = []
        self._relevance: list[float] = []

    def add(self, batch: Batch, rows: Integers, scores: Floats, relevance: Floats | Integers) -> None:
        """Take up rows of a batch of pairs, read with their texts; all three of shape (rows,)."""
        texts = (split_pair(batch.texts[row])[0] for row in rows.tolist())
        self._queries += [hashlib.sha256(text.encode()).digest()[:16] for text in texts]
        self._scores += scores.tolist()
        self._relevance += relevance.tolist()

    def gathered(self, ring: Ring) -> tuple[Integers, Floats, Floats]:
        """Numbers of queries, scores and relevances of all ranks' rows, each of shape (rows,)."""
        found = ring.allgather_object((self._queries, self._scores, self._relevance))
        queries, scores, relevance = ([value for own in found for value in own[column]] for column in range(3))
        numbers = {query: number for number, query in enumerate(sorted(set(queries)))}
        return np.array([numbers[query] for query in queries], int), np.array(scores, float), np.array(relevance, float)


def figures_of_two_labels(ring: Ring, pairs: RankedPairs) -> dict[str, float | None]:
    """`roc_auc`, `average_precision` and `query_figures` where the relevance is 1 of the second label, 0 of the first.

    Nothing where no rank has rows.
    """
    queries, scores, relevance = pairs.gathered(ring)
    if not len(scores):
        return {}
    return {
        "roc_auc": roc_auc(scores, relevance > 0),
        "average_precision": average_precision(scores, relevance > 0),
        **query_figures(queries, scores, relevance),
    }


def figures_of_targets(ring: Ring, pairs: RankedPairs) -> dict[str, float | None]:
    """`query_figures` where a row's gain is its target minus the least target of all rows, so that none is negative.

    Nothing where no rank has rows.
    """
    queries, scores, targets = pairs.gathered(ring)
    return query_figures(queries, scores, targets - targets.min()) if len(scores) else {}
