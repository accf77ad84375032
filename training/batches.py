"""Which rows make up which global batch: a pure function of integers, the same for any number of ranks.

A split lies in L lanes; row g of its global order is row g div L ("position") of lane g mod L. A
window is a run of positions, the same for all lanes. Within a window each lane sorts its rows by
length and cuts them into chunks of c = global_batch / L rows, and a global batch is chunk j of every
lane. So each lane can be read and sorted by itself, and still all rows of a batch have about the same
length: nothing but the shuffle depends on the epoch, and nothing at all on the number of ranks.

Where sources have different weights, the rows of a lane in a window are first replaced by as many, some of them
taken several times and some not at all (`resample_lane`). As the number of rows stays, so does all of the above.

Random choices are the raw bits of a Philox generator, which NumPy keeps stable between versions
(its permutation() it does not), sorted stably.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
HEAVIEST = 1 << 20  # weights of rows are whole numbers up to this


class _Purpose(IntEnum):
    """Keeps the random streams of different choices apart."""

    BLOCKS = 0
    WITHIN_BLOCK = 1
    TIES = 2
    CHUNKS = 3
    RESAMPLING = 4


def whole_weights(weights: Sequence[float]) -> Integers:
    """Positive weights as whole numbers from 1 to `HEAVIEST`, shape (weights,), so that sums of them are exact."""
    largest = max(weights, default=1.0)
    return np.array([max(1, round(weight / largest * HEAVIEST)) for weight in weights], np.int64)


def _random_bits(count: int, *entropy: int) -> npt.NDArray[np.uint64]:
    """Whole numbers of 64 bits that the entropy determines, shape (count,)."""
    return np.random.Philox(np.random.SeedSequence(entropy)).random_raw(count)


def _permutation(count: int, *entropy: int) -> Integers:
    """A permutation of 0..count-1 that the entropy determines."""
    return np.argsort(_random_bits(count, *entropy), kind="stable").astype(np.int64)


def _products_divided(factors: Integers, count: int, divisor: int) -> tuple[Integers, Integers]:
    """Quotients and remainders of `factors * count` by a divisor, exact also where the products exceed 64 bits.

    Long division: as many binary digits of `count` at a time as leave every step below 2**63. `factors` are from 0 to
    the divisor, which is less than 2**61; with rows of the largest weight that is two million million of them.
    """
    digits = 62 - divisor.bit_length()
    assert digits > 0
    quotient, rest = np.zeros_like(factors), np.zeros_like(factors)
    for shift in reversed(range(0, count.bit_length(), digits)):
        step = (rest << digits) + factors * (count >> shift & (1 << digits) - 1)
        quotient, rest = (quotient << digits) + step // divisor, step % divisor
    return quotient, rest


@dataclass(frozen=True, kw_only=True)
class BatchOrder:
    """The sequence of global batches of one split.

    Args:
        rows: rows of the split.
        lanes: L, as the manifest says.
        rows_per_row_group: positions in one block, the unit of reading.
        global_batch: rows per optimizer step over all ranks, a multiple of `lanes`.
        shuffle_window: rows shuffled and sorted together over all lanes, rounded to whole batches.
        seed: seed of every choice.
    """

    rows: int
    lanes: int
    rows_per_row_group: int
    global_batch: int
    shuffle_window: int
    seed: int

    def __post_init__(self) -> None:
        assert self.rows >= 0
        assert self.global_batch % self.lanes == 0, "settings validate this"

    @property
    def chunk(self) -> int:
        """Rows of one lane in one global batch."""
        return self.global_batch // self.lanes

    @property
    def positions(self) -> int:
        """Rows of the longest lane."""
        return -(-self.rows // self.lanes)

    @property
    def steps(self) -> int:
        """Global batches in one epoch; the same on every rank by construction."""
        return -(-self.positions // self.chunk)

    @property
    def window(self) -> int:
        """Positions of one window, a multiple of `chunk`."""
        return max(1, round(self.shuffle_window / self.lanes / self.chunk)) * self.chunk

    @property
    def steps_per_window(self) -> int:
        """Global batches of every window but perhaps the last."""
        return self.window // self.chunk

    @property
    def windows(self) -> int:
        """Windows of one epoch."""
        return -(-self.steps // self.steps_per_window)

    def global_rows(self, step: int) -> int:
        """Rows of this step's batch over all ranks: `global_batch`, or what is left for the last step."""
        return min(self.global_batch, self.rows - step * self.global_batch)

    def lane_rows(self, lane: int) -> int:
        """Rows of one lane; lanes differ by at most 1."""
        return self.rows // self.lanes + (lane < self.rows % self.lanes)

    def window_positions(self, epoch: int, window: int) -> Integers:
        """Positions of one window in this epoch's order, shape (at most `window`,).

        Blocks of whole row groups come in a random order and are shuffled inside, so that a row group is
        read once or twice an epoch; the rest after the last whole block is shuffled and comes last. The
        position that only some lanes have, if any, is the very last.
        """
        first, last = window * self.window, min((window + 1) * self.window, self.positions)
        size, full = self.rows_per_row_group, self.rows // self.lanes
        blocks = full // size
        order = _permutation(blocks, self.seed, _Purpose.BLOCKS, epoch)
        parts: list[Integers] = []
        for slot in range(first // size, -(-last // size)):
            block = int(order[slot]) if slot < blocks else slot
            count = min(size, full - block * size)
            inside = _permutation(max(count, 0), self.seed, _Purpose.WITHIN_BLOCK, epoch, block)
            parts.append(block * size + inside)
        if last > full:
            parts.append(np.array([full], np.int64))
        joined = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        start = first - first // size * size
        return joined[start : start + last - first]

    def sort_lanes(self, epoch: int, window: int, lanes: Sequence[int], lengths: Integers) -> Integers:
        """Order of each lane's rows of a window by length, ties at random; indices into its `lengths`, same shape.

        `lengths` holds the token counts of the lanes' rows in the order of `window_positions`, shape (lanes, rows);
        of lanes that lack the last position one column less than of others. What a lane's order is hangs on no other.
        """
        rows = lengths.shape[1]
        bits = [_random_bits(rows, self.seed, _Purpose.TIES, epoch, window, lane) for lane in lanes]
        ties = np.argsort(np.stack(bits), axis=1, kind="stable")
        keys = lengths * rows + ties  # no two of a lane are equal, so that any way of sorting gives the same order
        return np.argsort(keys, axis=1).astype(np.int64)

    def resample_lane(self, epoch: int, window: int, lane: int, weights: Integers) -> Integers:
        """Rows of one lane in a window, drawn by weight: as many indices into `weights`, not descending.

        Systematic resampling (Kitagawa 1996): n equidistant points with one random offset, on a line on which
        each row has a stretch as long as its weight. So a row of weight w among rows of mean weight m comes w / m
        times, rounded up or down at random, and equal weights give every row once. `weights` holds those of the rows
        in the order of `window_positions`, positive and at most `HEAVIEST`, shape (rows,).
        """
        count = len(weights)
        ends = np.cumsum(weights)
        total = int(ends[-1]) if count else 0
        bits = np.random.Philox(np.random.SeedSequence((self.seed, _Purpose.RESAMPLING, epoch, window, lane)))
        offset = int(bits.random_raw()) % total if total else 0
        whole, rest = _products_divided(ends, count, total) if total else (ends, ends)
        drawn_before = whole + (rest > offset)  # points on the line up to each row's end, whose first is at the offset
        return np.repeat(np.arange(count, dtype=np.int64), np.diff(drawn_before, prepend=0))

    def chunk_of(self, epoch: int, step: int) -> tuple[int, int]:
        """Window and chunk within it that this step takes; O(1) in the number of steps."""
        window, slot = divmod(step, self.steps_per_window)
        return window, int(self.chunks(epoch, window)[slot])

    def chunks(self, epoch: int, window: int) -> Integers:
        """Chunks of a window in the order of its steps, shape (steps of the window,).

        They come in a random order, except that a chunk with rows missing is the last step of the epoch, so that
        every other batch is full.
        """
        count = min(self.steps_per_window, self.steps - window * self.steps_per_window)
        ragged = window == self.windows - 1 and self.rows % self.global_batch != 0
        order = np.arange(count, dtype=np.int64)
        shuffled = count - 1 if ragged else count
        order[:shuffled] = _permutation(shuffled, self.seed, _Purpose.CHUNKS, epoch, window)
        return order
