"""Which tokens masked-LM pretraining hides, and what stands in their place: a pure function of seed, epoch and row.

Devlin et al. 2019, section 3.1: of the chosen tokens four fifths become the mask token, a tenth another token drawn at
random, and a tenth stays as it is. As many are chosen in every sequence as the share says, at least one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from training.batches import Integers
from training.row_randomness import random_bits
from training.rows import Ids

_TENTHS_MASKED = 8  # one more tenth is drawn


class Masked(NamedTuple):
    """Ids with some of them hidden, (T,) int32, and the places of those, ascending."""

    input_ids: Ids
    places: Integers


@dataclass(frozen=True)
class Masking:
    """Hides tokens of sequences.

    Args:
        share: of a sequence's ordinary tokens that are chosen.
        mask_id: of the mask token.
        special_ids: tokens that are neither chosen nor put in place of others.
        vocabulary: number of token ids.
        seed: of the random choices.
    """

    share: float
    mask_id: int
    special_ids: Collection[int]
    vocabulary: int
    seed: int

    def __call__(self, input_ids: Ids, row_id: str, epoch: int) -> Masked:
        """Hide tokens of one row; the same of them in one epoch, whichever rank has the row."""
        ordinary = np.flatnonzero(~np.isin(input_ids, self._special))
        count = min(len(ordinary), max(1, round(self.share * len(ordinary))))
        bits = random_bits(3 * len(ordinary), self.seed, epoch, row_id)
        order, choice, drawn = np.split(bits, 3)
        chosen = np.sort(np.argsort(order, kind="stable")[:count])
        places = ordinary[chosen]
        hidden = input_ids.copy()
        tenth = choice[chosen] % np.uint64(10)
        hidden[places[tenth < _TENTHS_MASKED]] = self.mask_id
        is_drawn = tenth == _TENTHS_MASKED
        draws = drawn[chosen][is_drawn] % np.uint64(len(self._ordinary_ids))
        hidden[places[is_drawn]] = self._ordinary_ids[draws.astype(np.int64)]
        return Masked(hidden, places.astype(np.int64))

    @cached_property
    def _ordinary_ids(self) -> Ids:
        return np.setdiff1d(np.arange(self.vocabulary, dtype=np.int32), self._special)

    @cached_property
    def _special(self) -> Ids:
        return np.array(sorted(self.special_ids), np.int32)
