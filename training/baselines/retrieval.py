"""The baseline of embeddings: which second texts share rare words with a first one."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np

from mapring.pairs import split_pair
from mapring.progress import say
from training.baselines.texts import MAX_TRAIN_ROWS, can_be_weighed, word_weights
from training.batches import Integers
from training.figures.retrieval import rank_sums, retrieval_figures
from training.reader import ShardReader

MOST_ROWS = 20_000  # each is compared with each; twice as many take four times as long
_BLOCK = 256  # queries at a time: at most 41 MB of scores


def retrieval_baselines(shards_directory: str) -> dict[str, Any]:
    """`tfidf_cosine`: the cosine of word weights that are learned from both texts of the training pairs.

    Ties count against it, as against the model. Left out, and that is said, where the test split has more than
    MOST_ROWS rows.

    Returns:
        Figures of `retrieval_figures`, and `rows`; empty where either split has no rows.
    """
    rows = ShardReader(shards_directory, "test").rows_in_split
    if rows > MOST_ROWS:
        say("train", f"no TF-IDF baseline: found {rows:,} test rows, where it is done for up to {MOST_ROWS:,}")
        return {}
    train, test = _pairs(shards_directory, "train", MAX_TRAIN_ROWS), _pairs(shards_directory, "test", None)
    if not train or not test or not can_be_weighed(text for pair in train for text in pair):
        return {}
    vectorizer = word_weights(1, 1)
    vectorizer.fit([text for pair in train for text in pair])
    firsts, seconds = (vectorizer.transform([pair[side] for pair in test]) for side in (0, 1))
    found = retrieval_figures(rank_sums(_ranks(firsts, seconds)))
    return {"tfidf_cosine": {"train_rows": len(train), "rows": len(test), **found}}


def _pairs(shards_directory: str, split: str, most: int | None) -> list[tuple[str, str]]:
    reader = ShardReader(shards_directory, split, text=True)
    return [split_pair(text) for text in islice((text for batch in reader.rows() for text in batch.texts), most)]


def _ranks(firsts: Any, seconds: Any) -> Integers:
    """How many seconds score at least what the own one does, for each first; both sparse, (rows, words)."""
    ranks = np.zeros(firsts.shape[0], np.int64)
    for start in range(0, len(ranks), _BLOCK):
        scores = (firsts[start : start + _BLOCK] @ seconds.T).toarray()
        own = scores[np.arange(len(scores)), start + np.arange(len(scores))]
        ranks[start : start + len(scores)] = (scores >= own[:, None]).sum(axis=1)
    return ranks
