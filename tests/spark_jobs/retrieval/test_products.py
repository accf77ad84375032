"""Products of blocks are as wrong as they say at most; bfloat16 begins when its import has been worked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spark_jobs.retrieval import products
from spark_jobs.retrieval.products import Products, Work, one_thread_of_torch


@pytest.mark.parametrize("is_brief", [False, True])
@pytest.mark.parametrize("dimensions", [1, 24, 384])
def test_no_product_is_further_off_than_the_error(is_brief: bool, dimensions: int) -> None:
    chance = np.random.default_rng(1)
    vectors = chance.standard_normal((2000, dimensions)).astype(np.float32)
    vectors[::2] = vectors[0] + vectors[::2] * 0.01  # products near 1, where rounding is largest
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries, bank = vectors[:64], vectors[64:]
    made = Products(64, is_brief=is_brief)
    for block in (bank[:300], bank[300:], bank[:7]):  # memory grows, and is used again
        made.take(block)
        off = np.abs(made.of(queries).astype(np.float64) - queries.astype(np.float64) @ block.T.astype(np.float64))
        assert off.max() <= made.error(queries)
    assert made.error(queries * 2) == pytest.approx(2 * made.error(queries), rel=0.01)


def test_bfloat16_begins_when_its_import_has_been_worked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "has_fast_bfloat16", lambda: True)
    work = Work()
    told = [work.is_brief(4096, 20_000, 384) for _ in range(6)]  # 3e10 each
    assert told == [False, False, False, False, True, True]
    assert not work.is_brief(4096, 1000, 384), "a small bank gains nothing"
    work.note_done_twice(1, 1)
    assert work.is_brief(1, 20_000, 384), "one odd query tells nothing"
    work.note_done_twice(150, 700)
    assert work.is_brief(1, 20_000, 384)
    work.note_done_twice(300, 400)
    assert not work.is_brief(1, 20_000, 384), "too much had to be done twice"
    monkeypatch.setattr(products, "has_fast_bfloat16", lambda: False)
    work = Work()
    work.is_brief(2**20, 20_000, 384)
    assert not work.is_brief(4096, 20_000, 384)


def test_threads_of_torch_are_put_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), one_thread_of_torch():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
