"""MinHash signatures and their bands: documents that share a band are worth comparing.

Signatures are Broder's (1997), bands those of Leskovec, Rajaraman and Ullman (2014, section 3.4).

With b bands of r rows, two documents of Jaccard similarity s share a band with probability
1 - (1 - s**r)**b: for 14 x 8 that is 0.92 at 0.8, 0.50 at 0.72 and 0.04 at 0.5. Bands only propose;
the true similarity decides, so they can cost time or miss a pair, but drop nothing wrongly.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from spark_jobs.dedup.shingles import Hashes, Shingles, mix, odd_numbers

_BLOCK = 1 << 18  # shingles at a time: their 1 MB of hashes stay in the cache of a core

Signatures = npt.NDArray[np.uint32]  # (documents, permutations)


def signatures(shingles: Shingles, permutations: int, seed: int) -> Signatures:
    """The least of each permutation's hashes over every text's shingles, shape (texts, permutations).

    A permutation of 32 bits is a multiplication with an odd number and an addition, modulo 2**32. A text
    without shingles has 2**32 - 1 everywhere.
    """
    factors = (odd_numbers(permutations, seed) >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    terms = (odd_numbers(permutations, seed + 1) >> np.uint64(32)).astype(np.uint32)
    found = np.full((permutations, len(shingles)), np.iinfo(np.uint32).max, np.uint32)
    starts, filled = shingles.offsets[:-1], np.diff(shingles.offsets) > 0
    if not filled.any():
        return found.T
    halves = (shingles.hashes >> np.uint64(32)).astype(np.uint32)
    for first, last in _blocks(shingles):
        own = filled[first:last]
        if not own.any():
            continue
        low, high = shingles.offsets[first], shingles.offsets[last]
        block, places = halves[low:high], starts[first:last][own] - low
        hashed = np.empty_like(block)
        for row, (factor, term) in enumerate(zip(factors, terms, strict=True)):
            np.multiply(block, factor, out=hashed)
            np.add(hashed, term, out=hashed)
            found[row, first:last][own] = np.minimum.reduceat(hashed, places)
    return found.T


def _blocks(shingles: Shingles) -> list[tuple[int, int]]:
    """Runs of texts [first, last) of about `_BLOCK` shingles each."""
    cuts = [0]
    while cuts[-1] < len(shingles):
        most = shingles.offsets[cuts[-1]] + _BLOCK
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(shingles.offsets, most, "right")) - 1))
    return list(pairwise(cuts))


def band_keys(found: Signatures, bands: int) -> Hashes:
    """A 64-bit key of each band's rows, different for different bands, shape (texts, bands)."""
    rows = found.shape[1] // bands
    grouped = found.reshape(len(found), bands, rows).astype(np.uint64)
    return mix((grouped * odd_numbers(rows)).sum(axis=2, dtype=np.uint64) + odd_numbers(bands, 2))
