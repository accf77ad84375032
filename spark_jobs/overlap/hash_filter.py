"""A bitmap of hashes that every task can hold: what it does not know need not be joined.

One bit for each value of the hashes' leading bits, 16 times as many as there are hashes while that fits. So of foreign
hashes one in 16 or fewer passes, and none of the known ones is lost; a join on whole hashes decides about those that
pass. Beyond `MOST_BITS` more pass and the join has more to do, but the result is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from pyspark.sql import functions as F

from spark_jobs.dedup.shingles import Hashes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MOST_BITS = 28  # of a slot's number: 32 MB, and 16 million hashes at the full ratio
_BITS_PER_HASH = 16
_WORD_BITS = 6  # slots of one 64-bit word, as a power of two


class HashFilter(NamedTuple):
    """Bits of 2**bits slots in 64-bit words; a hash belongs to the slot that its leading `bits` name."""

    words: Hashes
    bits: int

    def may_hold(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """False for hashes that are certainly not among the known ones."""
        slots = hashes >> np.uint64(64 - self.bits)
        within = slots & np.uint64((1 << _WORD_BITS) - 1)
        bits: npt.NDArray[np.uint64] = (self.words[slots >> np.uint64(_WORD_BITS)] >> within) & np.uint64(1)
        return bits.astype(np.bool_)


def filter_bits(count: int, most: int = MOST_BITS) -> int:
    """Leading bits to tell slots apart by, for `count` hashes."""
    return min(max(_WORD_BITS, (count * _BITS_PER_HASH - 1).bit_length()), most)


def build_filter(hashes: DataFrame, count: int, most: int = MOST_BITS) -> HashFilter:
    """The filter of `count` hashes, the column `ngram` of longs; Spark sets the bits, the driver gets the words."""
    bits = filter_bits(count, most)
    slot = F.shiftrightunsigned("ngram", 64 - bits)
    placed = hashes.select(
        F.shiftright(slot, _WORD_BITS).alias("word"), slot.bitwiseAND((1 << _WORD_BITS) - 1).alias("at")
    )
    set_bits = placed.groupBy("word").agg(F.expr("bit_or(shiftleft(1L, cast(at as int)))").alias("bits"))
    found = set_bits.toArrow()
    words = np.zeros(1 << (bits - _WORD_BITS), np.uint64)
    words[found.column("word").to_numpy()] = found.column("bits").to_numpy().view(np.uint64)
    return HashFilter(words, bits)
