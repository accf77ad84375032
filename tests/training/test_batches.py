"""The batch order, as properties over many shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.batches import HEAVIEST, BatchOrder, _products_divided, _Purpose, whole_weights


@st.composite
def orders(draw: st.DrawFn, most_lanes: int = 12) -> BatchOrder:
    lanes = draw(st.integers(1, most_lanes))
    return BatchOrder(
        rows=draw(st.integers(0, 600)),
        lanes=lanes,
        rows_per_row_group=draw(st.integers(1, 20)),
        global_batch=lanes * draw(st.integers(1, 5)),
        shuffle_window=draw(st.integers(1, 400)),
        seed=draw(st.integers(0, 5)),
    )


def lengths_of(order: BatchOrder) -> np.ndarray:
    """Length of each row, by its global number."""
    return np.random.default_rng(order.rows).integers(3, 40, order.rows)


def lane_batches(order: BatchOrder, epoch: int, lane: int) -> Iterator[np.ndarray]:
    """Global row numbers that one lane gives to each step, as a rank that owns only this lane finds them."""
    lengths = lengths_of(order)
    for step in range(order.steps):
        window, chunk = order.chunk_of(epoch, step)
        positions = order.window_positions(epoch, window)
        own = positions[positions < order.lane_rows(lane)] * order.lanes + lane
        ranked = own[order.sort_lanes(epoch, window, [lane], lengths[own][None])[0]]
        yield ranked[chunk * order.chunk : (chunk + 1) * order.chunk]


def rank_batches(order: BatchOrder, epoch: int, rank: int, size: int) -> list[set[int]]:
    steps: list[set[int]] = [set() for _ in range(order.steps)]
    for lane in range(rank, order.lanes, size):
        for step, rows in enumerate(lane_batches(order, epoch, lane)):
            steps[step].update(rows.tolist())
    return steps


def global_batches(order: BatchOrder, epoch: int, size: int = 1) -> list[set[int]]:
    ranks = [rank_batches(order, epoch, rank, size) for rank in range(size)]
    return [set().union(*parts) for parts in zip(*ranks, strict=True)]


@settings(max_examples=60, deadline=None)
@given(order=orders(), epoch=st.integers(0, 3))
def test_every_row_comes_exactly_once_and_batches_have_the_announced_size(order: BatchOrder, epoch: int) -> None:
    batches = global_batches(order, epoch)
    assert [len(batch) for batch in batches] == [order.global_rows(step) for step in range(order.steps)]
    assert sum(map(len, batches)) == order.rows
    assert set().union(*batches) == set(range(order.rows))
    assert all(len(batch) == order.global_batch for batch in batches[:-1])


@settings(max_examples=25, deadline=None)
@given(order=orders(), epoch=st.integers(0, 3), size=st.integers(2, 64))
def test_batches_are_the_same_for_any_number_of_ranks(order: BatchOrder, epoch: int, size: int) -> None:
    assert global_batches(order, epoch, size) == global_batches(order, epoch)


def big_order(**changes: int) -> BatchOrder:
    shape = {"rows": 5003, "lanes": 4, "rows_per_row_group": 64, "global_batch": 32, "shuffle_window": 1024, "seed": 1}
    return BatchOrder(**{**shape, **changes})


def test_batches_are_homogeneous_in_length() -> None:
    order = big_order()
    lengths = lengths_of(order)
    spread = [np.ptp(lengths[list(batch)]) for batch in global_batches(order, 0)[:-1]]
    assert np.mean(spread) < 5 < np.ptp(lengths) - 20  # rows in random order spread over 30 tokens and more


def test_epochs_and_seeds_differ_also_where_there_is_no_whole_row_group() -> None:
    for group in (64, 4096):
        first = global_batches(big_order(rows_per_row_group=group), 0)
        assert first == global_batches(big_order(rows_per_row_group=group), 0)
        for other in (
            global_batches(big_order(rows_per_row_group=group), 1),
            global_batches(big_order(rows_per_row_group=group, seed=2), 0),
        ):
            shared = sum(batch in other for batch in first)
            assert shared <= 1  # the ragged tail may coincide


def test_a_row_group_is_read_in_few_windows() -> None:
    order = big_order()
    for window in range(4):
        blocks = set((order.window_positions(0, window) // 64).tolist())
        assert len(blocks) <= order.window // 64 + 1


def test_an_epoch_order_is_pinned() -> None:
    """Resumed runs of an older version continue in the same order: change it only with ALGORITHM_VERSION."""
    order = BatchOrder(rows=22, lanes=2, rows_per_row_group=4, global_batch=4, shuffle_window=8, seed=17)
    positions = [order.window_positions(1, window).tolist() for window in range(3)]
    assert positions == [[5, 4, 7, 6], [2, 0, 3, 1], [10, 8, 9]]
    assert [order.chunk_of(1, step) for step in range(order.steps)] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]


@settings(max_examples=100, deadline=None)
@given(order=orders(), weights=st.lists(st.integers(1, HEAVIEST), max_size=80), lane=st.integers(0, 11))
def test_resampling_keeps_the_number_of_rows_and_gives_each_its_share(
    order: BatchOrder, weights: list[int], lane: int
) -> None:
    drawn = order.resample_lane(2, 3, lane, np.array(weights, np.int64))
    times = np.bincount(drawn, minlength=len(weights))
    assert len(drawn) == len(weights) and (np.diff(drawn) >= 0).all()
    for weight, count in zip(weights, times.tolist(), strict=True):
        expected = Fraction(weight * len(weights), sum(weights))
        assert expected - 1 < count < expected + 1
    assert (drawn == order.resample_lane(2, 3, lane, np.array(weights, np.int64))).all()


@settings(max_examples=30, deadline=None)
@given(order=orders(), weight=st.integers(1, HEAVIEST), count=st.integers(0, 200))
def test_equal_weights_give_every_row_once(order: BatchOrder, weight: int, count: int) -> None:
    assert order.resample_lane(0, 0, 0, np.full(count, weight)).tolist() == list(range(count))


@settings(max_examples=300, deadline=None)
@given(
    divisor=st.integers(1, (1 << 61) - 1), count=st.integers(0, 1 << 41), parts=st.lists(st.floats(0, 1), max_size=8)
)
def test_products_beyond_64_bits_are_divided_exactly(divisor: int, count: int, parts: list[float]) -> None:
    factors = sorted({0, divisor, divisor - 1, *(min(divisor, int(part * divisor)) for part in parts)})
    quotients, rests = _products_divided(np.array(factors, np.int64), count, divisor)
    expected = [divmod(factor * count, divisor) for factor in factors]
    assert list(zip(quotients.tolist(), rests.tolist(), strict=True)) == expected


def test_a_window_of_millions_of_rows_of_a_lane_is_drawn_exactly() -> None:
    """Four million of alternating weights: the products have 65 bits. Every boundary is the one of whole numbers."""
    rows = 4_000_000
    weights = np.where(np.arange(rows) % 2, HEAVIEST, HEAVIEST - 1)
    drawn = big_order().resample_lane(0, 0, 0, weights)
    assert len(drawn) == rows and (np.diff(drawn) >= 0).all()
    times = np.bincount(drawn, minlength=rows)
    total = rows // 2 * (2 * HEAVIEST - 1)
    bits = np.random.Philox(np.random.SeedSequence((big_order().seed, _Purpose.RESAMPLING, 0, 0, 0)))
    offset = int(bits.random_raw()) % total
    before = np.cumsum(times)
    for row in range(0, rows, 99_991):
        end = int(weights[:2].sum()) * ((row + 1) // 2) + (int(weights[0]) if row % 2 == 0 else 0)
        assert before[row] == -((offset - rows * end) // total)


def test_expected_times_of_a_row_are_its_weight_by_the_mean() -> None:
    weights = np.array([1, 2, 5, 1, 3, 3, 1], np.int64)
    times = sum(np.bincount(big_order().resample_lane(epoch, 0, 1, weights), minlength=7) for epoch in range(4000))
    assert np.allclose(times / 4000, weights * 7 / weights.sum(), atol=0.03)


def test_weights_become_whole_numbers_that_keep_their_ratios() -> None:
    assert whole_weights([2.0, 1.0, 0.5]).tolist() == [HEAVIEST, HEAVIEST // 2, HEAVIEST // 4]
    assert whole_weights([1000.0, 1e-9]).tolist() == [HEAVIEST, 1]


def weighted_batches(order: BatchOrder, epoch: int, size: int, weights: np.ndarray) -> list[Counter[int]]:
    """Rows of every global batch, as `size` ranks that sample by the weights find them together."""
    steps: list[Counter[int]] = [Counter() for _ in range(order.steps)]
    lengths = lengths_of(order)
    for rank in range(size):
        for lane in range(rank, order.lanes, size):
            for step in range(order.steps):
                window, chunk = order.chunk_of(epoch, step)
                positions = order.window_positions(epoch, window)
                own = positions[positions < order.lane_rows(lane)] * order.lanes + lane
                own = own[order.resample_lane(epoch, window, lane, weights[own])]
                ranked = own[order.sort_lanes(epoch, window, [lane], lengths[own][None])[0]]
                steps[step].update(ranked[chunk * order.chunk : (chunk + 1) * order.chunk].tolist())
    return steps


@settings(max_examples=25, deadline=None)
@given(order=orders(most_lanes=64), epoch=st.integers(0, 3), size=st.integers(1, 64))
def test_weighted_batches_are_full_and_the_same_for_any_number_of_ranks(
    order: BatchOrder, epoch: int, size: int
) -> None:
    weights = whole_weights([1.0, 3.0, 0.25])[np.arange(order.rows) % 3]
    batches = weighted_batches(order, epoch, size, weights)
    assert [batch.total() for batch in batches] == [order.global_rows(step) for step in range(order.steps)]
    assert batches == weighted_batches(order, epoch, 1, weights)
