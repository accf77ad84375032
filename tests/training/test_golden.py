"""Which rows become golden ones."""

from __future__ import annotations

import pytest

from tests.training.conftest import PlanMaker
from training import golden


def test_a_row_without_tokens_is_no_golden_row(make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_tiny_plan()
    read = golden.ShardReader.rows

    def first_without_tokens(reader: golden.ShardReader) -> object:
        for batch in read(reader):
            batch.input_ids[0] = batch.input_ids[0][:0]
            yield batch

    monkeypatch.setattr(golden.ShardReader, "rows", first_without_tokens)
    lengths = [len(row.input_ids) for row in golden._choose(plan.shards_directory)]
    assert lengths and 0 not in lengths
