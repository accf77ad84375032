"""Labels counted by group: exact however rows are cut into files, told apart by digests, as series."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mapring.watch.counting import Counting
from mapring.watch.groups import GROUPS, add_groups, count_groups, group_digests
from mapring.watch.series import left_out, read_group_series, read_series
from tests.mapring.watch.counts import MODEL, START
from tests.mapring.watch.grouped import grouped, of_sources
from tests.mapring.watch.test_counting import at, classified, rows

HOUR = Counting(window=datetime.timedelta(hours=1), by_group=True)


def told(counts: pa.Table) -> dict[tuple[Any, ...], int]:
    """Rows by group, window's hour and label."""
    return {(row["group"], row["window_start"].hour, row["label"]): row["rows"] for row in counts.to_pylist()}


def test_rows_with_a_group_and_a_time_are_counted() -> None:
    counts = count_groups(classified(group=["A", "A", "B", "A", "A"]), HOUR)
    assert counts.schema == GROUPS
    assert told(counts) == {("A", 7, "a"): 1, ("A", 8, "a"): 1, ("A", 8, None): 1, ("B", 8, None): 1}
    assert count_groups(classified(), HOUR).num_rows == 0, "rows without a group"
    assert count_groups(classified(group=["A"] * 5).drop_columns(["time"]), HOUR).num_rows == 0


def test_rows_of_several_labels_and_of_none() -> None:
    labels = [[{"label": "x", "score": 0.9}, {"label": "y", "score": 0.6}], [], [{"label": "y", "score": 0.7}]]
    counts = count_groups(rows("multilabel", 3, labels=labels, group=["A", "A", None], time=[at(1)] * 3), HOUR)
    assert told(counts) == {("A", 1, "x"): 1, ("A", 1, "y"): 1, ("A", 1, None): 1}
    assert count_groups(rows("regression", 1, value=[1.0], group=["A"], time=[at(1)]), HOUR).num_rows == 0


def test_parts_add_up_to_the_whole_however_they_are_cut() -> None:
    whole = classified(group=["A", "A", "B", "A", "A"])
    order = [(name, "ascending") for name in GROUPS.names]
    for cut in range(6):
        parts = [count_groups(whole.slice(0, cut), HOUR), count_groups(whole.slice(cut), HOUR)]
        assert add_groups(parts).sort_by(order).equals(count_groups(whole, HOUR).sort_by(order))
    assert add_groups([]).equals(GROUPS.empty_table())


def test_counts_of_sources_keep_their_name_where_groups_are_counted_beside_them() -> None:
    plain = Counting(window=HOUR.window)
    assert plain.identity([MODEL]) == HOUR.identity([MODEL])


def test_a_digest_tells_any_other_counts_and_no_other_order() -> None:
    counts = grouped(3, {"A": 50, "B": 20})
    digests = group_digests(counts)
    hour = np.datetime64(START.replace(tzinfo=None), "us")
    assert list(digests) == ["shop"] and sorted(digests["shop"]) == [hour + np.timedelta64(n, "h") for n in range(3)]
    assert group_digests(counts.take(np.random.default_rng(1).permutation(counts.num_rows))) == digests
    changed = counts.to_pylist()
    changed[0]["rows"] += 1
    for other in (changed, [{**row, "group": {"A": "B", "B": "A"}[row["group"]]} for row in counts.to_pylist()]):
        found = group_digests(pa.Table.from_pylist(other, GROUPS))
        assert found["shop"][hour] != digests["shop"][hour]
    only_first = group_digests(pa.Table.from_pylist(changed, GROUPS))
    later = hour + np.timedelta64(1, "h")
    assert only_first["shop"][later] == digests["shop"][later], "each window has its own"
    one = {
        "source": "shop",
        "group": "A",
        "model_fingerprint": MODEL,
        "window_start": START,
        "label": "rare",
        "rows": 7,
    }
    assert group_digests(pa.Table.from_pylist([one], GROUPS)) == {"shop": {hour: "360c169df6871503"}}, "on any machine"
    assert group_digests(GROUPS.empty_table()) == {}


def test_series_are_those_of_groups_with_volume_enough() -> None:
    counts = grouped(4, {"A": 50, "B": 20, "C": 49})
    assert [(one.source, one.group) for one in read_group_series(counts, 50)] == [("shop", "A")]
    [a, b, c] = read_group_series(counts, 1)
    assert [one.rows.tolist() for one in (a, b, c)] == [[50] * 4, [20] * 4, [49] * 4]
    [source] = read_series(of_sources(counts))
    assert source.group is None and source.rows.tolist() == [119] * 4
    assert read_group_series(GROUPS.empty_table(), 1) == []


def test_a_source_without_a_group_is_what_the_others_make() -> None:
    counts = grouped(4, {"A": 50, "B": 20, "C": 49})
    [a, b, c] = read_group_series(counts, 1)
    [source] = read_series(of_sources(counts))
    rest = left_out(source, [a, c])
    assert rest.without == ("A", "C") and rest.rows.tolist() == [20] * 4
    named = {label: place for place, label in enumerate(source.labels)}
    for label, place in zip(b.labels, range(len(b.labels)), strict=True):
        assert rest.counts[:, named[label]].tolist() == b.counts[:, place].tolist()
    assert len(left_out(source, [a, b, c]).starts) == 0, "no window is left"


@pytest.mark.parametrize("name", ["", "Ünïted", "a'b\"c"])
def test_any_text_may_be_a_group(name: str) -> None:
    counts = count_groups(classified(group=[name] * 5), HOUR)
    assert set(counts["group"].to_pylist()) == {name} and len(group_digests(counts)["mail"]) == 2
