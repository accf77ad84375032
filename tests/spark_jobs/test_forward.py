"""The forward pass: every row once, within the budget, little padding; what fails costs only itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.forward import Forward, token_batches
from spark_jobs.udf import buffers

Ids = npt.NDArray[np.int64]
BAD, NOT_FINITE = 666, 777


class FakeModel:
    """Logits that tell of a row its sum of ids and its length; some ids make it fail, as does a batch too large."""

    padding_id = 0

    def __init__(self, memory: int = 10**9) -> None:
        self.memory = memory
        self.passes: list[int] = []

    def logits(self, input_ids: Ids, attention_mask: Ids) -> npt.NDArray[np.float32]:
        self.passes.append(input_ids.size)
        if input_ids.size > self.memory:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        if (input_ids == BAD).any():
            raise IndexError("index out of range in self")
        found = np.stack([input_ids.sum(1), attention_mask.sum(1)], 1).astype(np.float32)
        found[(input_ids == NOT_FINITE).any(1)] = np.nan
        return found


@given(lengths=st.lists(st.integers(1, 64), max_size=200), budget=st.integers(1, 512))
def test_every_row_comes_once_and_batches_fit_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(token_batches(lengths, budget))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= budget


@given(lengths=st.lists(st.integers(1, 8), max_size=100), budget=st.integers(1, 64))
def test_batches_of_equal_lengths_have_one_length_and_fit_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(token_batches(lengths, budget, equal_lengths=True))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len({lengths[row] for row in batch}) == 1
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= budget


def test_a_row_without_tokens_fails_alone_and_is_never_computed() -> None:
    model = FakeModel()
    outcome = Forward(model, 2, 64)([[], [3, 4], []])
    assert outcome.failures == dict.fromkeys((0, 2), "the text has no tokens")
    assert outcome.logits.tolist() == [[0, 0], [7, 2], [0, 0]] and model.passes == [2]
    alone = Forward(model, 2, 64)([[]])
    assert alone.failures == {0: "the text has no tokens"} and model.passes == [2]


def test_sorted_batches_waste_little() -> None:
    lengths = [1 + (index * 37) % 64 for index in range(4096)]
    outcome = Forward(FakeModel(), 2, 2048)([[1] * length for length in lengths])
    assert outcome.tokens == sum(lengths)
    assert 1 - outcome.tokens / outcome.padded_tokens < 0.04


IDS = st.one_of(st.integers(1, 500), st.sampled_from([BAD, NOT_FINITE]))


@given(
    sequences=st.lists(st.lists(IDS, min_size=1, max_size=20), max_size=60),
    budget=st.integers(1, 300),
    memory=st.integers(20, 300),
)
def test_rows_keep_their_places_whatever_fails_around_them(
    sequences: list[list[int]], budget: int, memory: int
) -> None:
    outcome = Forward(FakeModel(memory), 2, budget)(sequences)
    for row, sequence in enumerate(sequences):
        if BAD in sequence:
            assert outcome.failures[row] == "IndexError: index out of range in self"
        elif NOT_FINITE in sequence:
            assert outcome.failures[row] == "logits are not finite"
        else:
            assert row not in outcome.failures
            assert outcome.logits[row].tolist() == [sum(sequence), len(sequence)]


def test_one_bad_row_of_a_batch_is_found_in_few_passes() -> None:
    model = FakeModel()
    sequences = [[1]] * 256
    sequences[100] = [BAD]
    outcome = Forward(model, 2, 256)(sequences)
    assert list(outcome.failures) == [100]
    assert len(model.passes) <= 1 + 2 * 8


def test_memory_that_runs_out_halves_the_budget_for_good() -> None:
    model = FakeModel(memory=100)
    forward = Forward(model, 2, 400)
    assert not forward([[1] * 10] * 400).failures
    assert forward.budget.batch_tokens == 100
    model.passes.clear()
    assert not forward([[1] * 10] * 80).failures
    assert model.passes == [100] * 8, "no batch of this worker is too large a second time"


def test_a_single_row_too_large_for_the_memory_fails_alone() -> None:
    outcome = Forward(FakeModel(memory=10), 2, 64)([[1] * 4, [1] * 11])
    assert list(outcome.failures) == [1] and "can't allocate memory" in outcome.failures[1]


@pytest.mark.parametrize(("rows", "characters", "expected"), [(6000, 3, [3, 3, 1]), (10, 1 << 20, [2, 2, 2, 1])])
def test_buffers_are_bounded_by_rows_and_by_characters(rows: int, characters: int, expected: list[int]) -> None:
    batches = [(pd.Series(["x" * characters] * rows),) for _ in range(7)]
    assert [len(buffer) for buffer in buffers(batches)] == expected
