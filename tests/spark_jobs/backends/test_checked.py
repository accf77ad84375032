"""Close decisions are computed once more, and only these."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.backends.checked import CheckedBackend, margin_between
from spark_jobs.backends.interface import Ids
from spark_jobs.forward import Forward


class Made:
    """Gives logits that were made before, by a row's first token; remembers what it was given."""

    padding_id = 0

    def __init__(self, logits: npt.NDArray[np.float32]) -> None:
        self._logits = logits
        self.seen: list[tuple[list[int], tuple[int, ...]]] = []

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> npt.NDArray[np.float32]:
        assert token_type_ids is None and attention_mask.shape == input_ids.shape
        self.seen.append((input_ids[:, 0].tolist(), input_ids.shape))
        return self._logits[input_ids[:, 0]].copy()


@given(rows=st.integers(1, 30), seed=st.integers(0, 99), noise=st.floats(0.01, 0.5))
def test_labels_are_those_of_the_exact_backend_where_no_row_moved_further(rows: int, seed: int, noise: float) -> None:
    randomness = np.random.default_rng(seed)
    exact = randomness.normal(size=(rows, 3)).astype(np.float32)
    quick = (exact + randomness.uniform(-noise, noise, exact.shape)).astype(np.float32)
    moved = quick - exact
    margin = float((moved.max(axis=1) - moved.min(axis=1)).max()) + 1e-6
    forward = Forward(CheckedBackend(Made(quick), Made(exact), margin), 3, 64)
    found = forward([[row, 1] for row in range(rows)]).logits
    np.testing.assert_array_equal(found.argmax(axis=1), exact.argmax(axis=1))
    best = np.sort(quick, axis=1)
    is_close = best[:, -1] - best[:, -2] < margin
    np.testing.assert_array_equal(found, np.where(is_close[:, None], exact, quick))


def test_only_close_rows_are_computed_again_all_together_and_none_that_failed() -> None:
    quick = np.array([[1.0, 0.95], [3.0, 0.0], [0.0, 0.08], [np.nan, 0.0]], np.float32)
    exact = Made(np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], np.float32))
    forward = Forward(CheckedBackend(Made(quick), exact, 0.1), 2, 4)
    outcome = forward([[0, 5], [1, 5, 5, 5], [2, 5], [3]])
    assert outcome.logits.argmax(axis=1).tolist() == [1, 0, 0, 0]
    assert outcome.failures == {3: "logits are not finite"}
    assert exact.seen == [([0, 2], (2, 2))]


def test_the_margin_is_what_most_rows_do_not_move_across() -> None:
    exact = np.zeros((1000, 2), np.float32)
    quick = exact.copy()
    quick[:, 0] = np.linspace(0, 1, 1000)
    assert abs(margin_between(quick, exact) - 0.9) < 1e-3
