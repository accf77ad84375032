"""Repeated word n-grams of whole batches (Rae et al. 2021, appendix A.1.1).

All n from 2 to 10 are found in one sweep: an n-gram can only be repeated where its first n - 1 words are, so
each step looks at the positions that the one before has left, which are few in ordinary text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import numpy as np

from spark_jobs.dedup.shingles import Hashes, mix, odd_numbers
from spark_jobs.filters.pieces import Batch, Floats, Integers

TOP, DUPLICATE = (2, 3, 4), (5, 6, 7, 8, 9, 10)


def ngram_measures(batch: Batch, wanted: Collection[str]) -> dict[str, Floats]:
    """`top_n_gram_share` for n in 2, 3, 4 and `duplicate_n_gram_share` for n in 5 to 10, each a share of characters.

    Top: the characters (spaces between its words included) that all occurrences of the most frequent n-gram take; 0
    where none occurs twice, and above 1 where they overlap, as in `ha ha ha ha`. Duplicate: the characters of the words
    in n-grams that stood in the text before, each counted once also where such n-grams overlap.
    """
    tokens, characters = batch.tokens, np.maximum(batch.characters, 1)
    hashes = np.array([_hash(token) for token in tokens.unique.to_pylist()], np.uint64)
    hashes = hashes[tokens.codes] if len(tokens.codes) else np.zeros(0, np.uint64)
    lengths = tokens.lengths[tokens.codes] if len(tokens.codes) else np.zeros(0, np.int64)
    ends = np.concatenate([[0], np.cumsum(lengths)])  # characters before each token, without spaces
    owner_key = mix(tokens.owner.astype(np.uint64) + np.uint64(1))
    factors = odd_numbers(max(DUPLICATE) + 1)
    positions = np.arange(len(hashes))
    sums = hashes * factors[0] if len(hashes) else hashes
    found: dict[str, Floats] = {}
    for n in range(2, max(DUPLICATE) + 1):
        inside = positions + n <= len(hashes)
        positions, sums = positions[inside], sums[inside]
        inside = tokens.owner[positions] == tokens.owner[positions + n - 1]
        positions, sums = positions[inside], sums[inside]
        sums = sums + hashes[positions + n - 1] * factors[n - 1]
        order, first, size = _groups(mix(sums) + owner_key[positions])
        if f"top_{n}_gram_share" in wanted:
            length = ends[positions[order[first]] + n] - ends[positions[order[first]]] + n - 1
            found[f"top_{n}_gram_share"] = (
                _top(tokens.owner[positions[order[first]]], size, length, batch.count) / characters
            )
        if f"duplicate_{n}_gram_share" in wanted:
            later = np.delete(order, first) if len(order) else order
            covered = _covered(positions[later], n, len(hashes))
            total = np.bincount(tokens.owner[covered], lengths[covered], minlength=batch.count)
            found[f"duplicate_{n}_gram_share"] = total / characters
        several = np.repeat(size > 1, size)
        kept = np.sort(order[several])
        positions, sums = positions[kept], sums[kept]
    return found


def _hash(token: str) -> int:
    return int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest(), "little")


def _groups(keys: Hashes) -> tuple[Integers, Integers, Integers]:
    """A stable order of the keys, where in it each group of equal ones begins, and the groups' sizes."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = (
        np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(keys) else np.zeros(0, np.int64)
    )
    return order, first, np.diff(np.concatenate([first, [len(keys)]]))


def _top(owner: Integers, size: Integers, length: Integers, count: int) -> Floats:
    """Characters that the most frequent n-gram of each text takes, the longest of equally frequent ones."""
    best = np.lexsort((length, size, owner))
    last = np.flatnonzero(np.concatenate([owner[best][1:] != owner[best][:-1], [True]])) if len(best) else best
    chosen = best[last]
    result = np.zeros(count)
    result[owner[chosen]] = np.where(size[chosen] > 1, size[chosen] * length[chosen], 0)
    return result


def _covered(starts: Integers, n: int, total: int) -> Integers:
    """Positions that lie in at least one run of n from these starts."""
    change = np.zeros(total + 1, np.int64)
    np.add.at(change, starts, 1)
    np.add.at(change, np.minimum(starts + n, total), -1)
    return np.flatnonzero(np.cumsum(change[:-1]) > 0)
