"""Rows of every mode as counts, by windows; parts add up to the whole; odd windows."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mapring.contract.schemas import score_schema
from mapring.settings.combinations import ModeName
from mapring.watch.bins import counted, interval_bins, length_bins, unknown_bins
from mapring.watch.counting import COUNTS, Counting, add_counts, columns_of, count_rows, label_counts

HOUR = Counting(window=datetime.timedelta(hours=1))
SCORED_AT = datetime.datetime(2026, 3, 9, 12, tzinfo=datetime.UTC)


def at(hour: int, minute: int = 0) -> datetime.datetime:
    return datetime.datetime(2026, 3, 4, hour, minute, tzinfo=datetime.UTC)


def rows(mode: ModeName, count: int, **columns: list[Any]) -> pa.Table:
    schema = score_schema(mode)
    fixed = {"source": ["mail"] * count, "model_fingerprint": ["m1"] * count, "scored_at": [SCORED_AT] * count}
    given = {**fixed, **columns}
    names = columns_of(schema.names)
    values = [pa.array(given.get(name, [None] * count), schema.field(name).type) for name in names]
    return pa.table(dict(zip(names, values, strict=True)))


def found(counts: pa.Table, quantity: str) -> dict[Any, int]:
    """Rows by window's hour (None of rows without a time) and bin."""
    chosen = [row for row in counts.to_pylist() if row["quantity"] == quantity]
    return {(row["window_start"] and row["window_start"].hour, row["bin"]): row["rows"] for row in chosen}


def classified(**changes: list[Any]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        "time": [at(7, 59), at(8), at(8, 59), None, at(8)],
        "label": ["a", "a", None, "b", None],
        "score": [0.97, 1.0, 0.4, 0.0, None],
        "abstained": [False, False, True, False, None],
        "error": [None, None, None, None, "empty_text"],
        "input_tokens": [3, 10, 10, 128, None],
        "unknown_tokens": [0, 1, 10, 1, None],
        "language": ["en", "en", "de", None, None],
        **changes,
    }
    return rows("classify", 5, **columns)


def test_rows_of_one_label_by_hand() -> None:
    counts = count_rows(classified(), HOUR)
    assert counts.schema == COUNTS
    assert found(counts, "row") == {
        (7, "scored"): 1,
        (8, "scored"): 1,
        (8, "withheld"): 1,
        (8, "failed"): 1,
        (None, "scored"): 1,
    }
    assert found(counts, "label") == {(7, "a"): 1, (8, "a"): 1, (8, None): 2, (None, "b"): 1}
    assert found(counts, "score") == {(7, "19"): 1, (8, "19"): 1, (8, "8"): 1, (None, "0"): 1}
    assert found(counts, "input_tokens") == {(7, "3"): 1, (8, "10"): 2, (None, "128"): 1}
    assert found(counts, "unknown_share") == {(7, "0"): 1, (8, "0.0625"): 1, (8, "1"): 1, (None, "0.0078125"): 1}
    assert found(counts, "language") == {(7, "en"): 1, (8, "en"): 1, (8, "de"): 1}
    moments = {row["scored_at"] for row in counts.to_pylist() if row["window_start"] is None}
    assert moments == {SCORED_AT} and counts.filter(pa.compute.is_valid(counts["window_start"]))["scored_at"].null_count


def test_labels_are_told_by_window_as_series_need_them() -> None:
    table = label_counts(count_rows(classified(), HOUR))
    assert set(table.column_names) == {"source", "window_start", "label", "model_fingerprint", "rows"}
    assert sum(table["rows"].to_pylist()) == 5, "rows without a label are there, too"


def test_rows_of_several_labels_numbers_and_losses() -> None:
    labels = [[{"label": "x", "score": 0.9}, {"label": "y", "score": 0.6}], [], None, [{"label": "y", "score": 0.7}]]
    counts = count_rows(rows("multilabel", 4, labels=labels, time=[at(1)] * 4), HOUR)
    assert found(counts, "label") == {(1, "x"): 1, (1, "y"): 2, (1, None): 2}
    edges = Counting(window=HOUR.window, edges={"m1": [0.0, 1.0, 2.0], "m2": [0.0, 9.0, 10.0]})
    values = [-5.0, 0.99, 1.0, 7.0]
    models = ["m1", "m1", "m2", "m3"]
    counts = count_rows(rows("regression", 4, value=values, model_fingerprint=models, time=[at(1)] * 4), edges)
    told = {
        (row["model_fingerprint"], row["bin"]): row["rows"] for row in counts.to_pylist() if row["quantity"] == "value"
    }
    assert told == {("m1", "0"): 2, ("m2", "0"): 1}, "each by its model's edges, without which none counts"
    losses = [math.exp(0.5), math.exp(1.5), None]
    counts = count_rows(rows("perplexity", 3, perplexity=losses, time=[at(1)] * 3), edges)
    assert found(counts, "loss") == {(1, "0"): 1, (1, "1"): 1}


@pytest.mark.parametrize("mode", ["embed", "generate"])
def test_what_was_read_is_counted_whatever_was_answered(mode: ModeName) -> None:
    counts = count_rows(rows(mode, 2, input_tokens=[8, 9], unknown_tokens=[None, None], time=[at(1)] * 2), HOUR)
    assert found(counts, "input_tokens") == {(1, "8"): 2} and found(counts, "unknown_share") == {}


def test_parts_add_up_to_the_whole_however_they_are_cut() -> None:
    whole = classified()
    for cut in range(6):
        parts = [count_rows(whole.slice(0, cut), HOUR), count_rows(whole.slice(cut), HOUR)]
        assert add_counts(parts).equals(count_rows(whole, HOUR))
    assert add_counts([]).num_rows == 0 and count_rows(whole.slice(0, 0), HOUR).num_rows == 0


def test_a_table_from_before_is_counted_by_what_it_has() -> None:
    old = classified().drop_columns(["time", "input_tokens", "unknown_tokens", "language"])
    counts = count_rows(old, HOUR)
    assert set(counts["quantity"].to_pylist()) == {"row", "label", "score"}
    assert counts["window_start"].null_count == counts.num_rows


def test_a_billion_counted_rows_are_added_without_loss() -> None:
    one = count_rows(classified(), HOUR)
    many = one.set_column(one.schema.get_field_index("rows"), "rows", pa.array([10**15 + 1] * one.num_rows))
    added = add_counts([many.cast(COUNTS)] * 1000)
    assert set(added["rows"].to_pylist()) == {1000 * (10**15 + 1)}


@pytest.mark.parametrize(
    ("moment", "minutes", "start"),
    [
        (at(8, 59), 15, at(8, 45)),
        (at(8, 59), 24 * 60, at(0)),
        (at(8, 59), 7 * 24 * 60, datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)),  # a Monday
        (datetime.datetime(1955, 1, 2, 3, 4), 7 * 24 * 60, datetime.datetime(1954, 12, 27, tzinfo=datetime.UTC)),
        (datetime.datetime.min, 7 * 24 * 60, datetime.datetime.min.replace(tzinfo=datetime.UTC)),
        (datetime.datetime.max, 60, datetime.datetime(9999, 12, 31, 23, tzinfo=datetime.UTC)),
    ],
)
def test_windows_are_those_of_utc_also_of_times_that_nobody_meant(
    moment: datetime.datetime, minutes: int, start: datetime.datetime
) -> None:
    counting = Counting(window=datetime.timedelta(minutes=minutes))
    assert set(count_rows(rows("classify", 1, time=[moment]), counting)["window_start"].to_pylist()) == {start}


def test_another_way_to_count_has_another_name() -> None:
    names = {
        counting.identity(models)
        for counting, models in (
            (HOUR, ["m1"]),
            (Counting(window=datetime.timedelta(days=1)), ["m1"]),
            (Counting(window=HOUR.window, edges={"m1": [0.0, 1.0]}), ["m1"]),
        )
    }
    assert len(names) == 3
    assert Counting(window=HOUR.window, edges={"m2": [0.0]}).identity(["m1"]) == HOUR.identity(["m1"]), (
        "not of its rows"
    )


def test_bins() -> None:
    assert length_bins([0, 1, 9, 10, 11, 128]).tolist() == ["0", "1", "8", "10", "10", "128"]
    assert unknown_bins([0, 1, 64, 0], [128, 128, 128, 0]).tolist() == ["0", "0.0078125", "0.5", "0"]
    assert interval_bins([-1, 0, 1, 2], [0, 1, 2]).tolist() == ["0", "0", "1", "1"]
    assert counted(np.array(["b", "a", "b"])) == {"a": 1, "b": 2}
