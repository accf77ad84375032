"""The batch order, as properties over many shapes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.batches import BatchOrder


@st.composite
def orders(draw: st.DrawFn) -> BatchOrder:
    lanes = draw(st.integers(1, 12))
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
        ranked = own[order.sort_lane(epoch, window, lane, lengths[own])]
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
