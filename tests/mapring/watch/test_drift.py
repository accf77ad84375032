"""Decisions on whole series: what drifts is told, what does not is not, and odd windows do no harm."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mapring.settings.watch import Watch
from mapring.watch.counting import COUNTS
from mapring.watch.drift import DriftLook, benjamini_hochberg, episodes, find_drift
from mapring.watch.reference import Reference, make_reference

START = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
LATER = START + 400 * DAY
DAILY = Watch(window="1d")
CALM = {"a": 600, "b": 300, "c": 100}
REFERENCE = Reference(model="m1", split="test", rows=1000, expected={"label": CALM}, missing={"language": "not kept"})


def counts(
    windows: Mapping[datetime.datetime | None, Mapping[str | None, int]],
    *,
    quantity: str = "label",
    model: str = "m1",
    outcomes: Mapping[str, int] | None = None,
) -> pa.Table:
    """COUNTS of one quantity; a moment of None is a scoring of rows without a time."""
    made: list[dict[str, Any]] = []
    for start, bins in windows.items():
        cell = {"source": "mail", "model_fingerprint": model, "window_start": start}
        cell["scored_at"] = START if start is None else None
        made += [{**cell, "quantity": quantity, "bin": name, "rows": rows} for name, rows in bins.items()]
        told = {"scored": sum(bins.values())} if outcomes is None else outcomes
        made += [{**cell, "quantity": "row", "bin": name, "rows": rows} for name, rows in told.items()]
    return pa.Table.from_pylist(made, schema=COUNTS)


def find(
    windows: Mapping[datetime.datetime | None, Mapping[str | None, int]],
    settings: Watch = DAILY,
    reference: Reference = REFERENCE,
    now: datetime.datetime = LATER,
    **options: Any,
) -> DriftLook:
    return find_drift(counts(windows, **options), {"m1": reference}, settings, now)


def days(*each: Mapping[str | None, int]) -> dict[datetime.datetime | None, Mapping[str | None, int]]:
    return {START + number * DAY: bins for number, bins in enumerate(each)}


SHIFTED = {"a": 300, "b": 300, "c": 400}


def test_a_drift_is_told_with_its_window_and_its_numbers() -> None:
    look = find(days(CALM, SHIFTED, SHIFTED, CALM, SHIFTED))
    assert [one.is_drift for one in look.judged] == [False, True, True, False, True]
    first = look.findings(DAILY.tolerated_drift)[0]
    assert (first.kind, first.quantity, first.source, first.model_fingerprint) == ("drift", "label", "mail", "m1")
    assert (first.window_start, first.window_end, first.rows) == (START + DAY, START + 2 * DAY, 1000)
    psi = 0.3 * np.log(2) + 0.3 * np.log(4)  # by hand; 2 / 1000 + 2 / 1000 is what chance adds
    assert first.observed == pytest.approx(psi - 0.004) and first.expected == 0.02 and first.q_value < 1e-9
    assert (look.judged[1].bin, look.judged[1].share, look.judged[1].expected_share) == ("a", 0.3, 0.6) or (
        look.judged[1].bin == "c"
    )
    told = episodes(look.judged)
    assert [(len(one.judged), one.lasts) for one in told] == [(2, False), (1, True)]
    assert [(one.quantity, one.reason) for one in look.not_judged] == [("language", "not kept")]


def test_what_is_tolerated_or_chance_is_no_drift() -> None:
    random = np.random.default_rng(3)
    calm = [dict(zip("abc", random.multinomial(900, [0.6, 0.3, 0.1]).tolist(), strict=True)) for _ in range(60)]
    assert not any(one.is_drift for one in find(days(*calm)).judged)
    slight = {"a": 560 * 10**9, "b": 330 * 10**9, "c": 110 * 10**9}
    (one,) = find(days(slight)).judged
    assert not one.is_drift and one.rows == 10**12 and one.psi < 0.01, (
        "a thousand billion rows make no drift of a trifle"
    )
    (one,) = find(days({name: rows * 10**12 for name, rows in SHIFTED.items()})).judged
    assert one.is_drift and one.rows == 10**15


def test_windows_with_few_rows_are_joined_and_none_is_made_up() -> None:
    few = {"a": 60, "b": 30, "c": 10}
    look = find(days(*[few] * 6))
    assert [(one.window_start - START, one.joined_start - START, one.rows) for one in look.judged] == [
        (4 * DAY, 0 * DAY, 500),
        (5 * DAY, 1 * DAY, 500),
    ]
    far = {START: CALM, START + 30 * DAY: {"a": 1}}
    look = find(far)
    assert len(look.judged) == 1, "one row is not judged with rows of a month before"
    assert "found 1 rows, expected at least 500" in look.not_judged[-1].reason
    assert find({}).judged == [] and find_drift(COUNTS.empty_table(), {}, DAILY, LATER).not_judged == []


def test_the_hours_of_a_day_are_judged_together() -> None:
    """Labels swing by night and day; a day's sum does not."""
    hourly = Watch(window="1h")
    day, night = {"a": 700, "b": 200, "c": 100}, {"a": 500, "b": 400, "c": 100}
    windows = {START + hour * HOUR: day if hour % 24 < 12 else night for hour in range(72)}
    look = find(windows, hourly)
    assert len(look.judged) == 49 and not any(one.is_drift for one in look.judged)
    assert look.judged[0].window_end == START + DAY and {one.rows for one in look.judged} == {24_000}
    by_hour = find(windows, Watch(window="1h", season="1h"))
    assert sum(one.is_drift for one in by_hour.judged) == 0, "PSI 0.04 in 1,000 rows"
    assert len(find({START + hour * HOUR: day for hour in range(20)}, hourly).judged) == 0, "no season has passed"


def test_windows_to_come_and_those_that_have_not_ended_wait() -> None:
    look = find({**days(CALM, SHIFTED), START + 3000 * DAY: SHIFTED}, now=START + 1.5 * DAY)
    assert [one.window_start for one in look.judged] == [START] and look.open_rows == 2000


def test_rows_without_a_time_are_judged_by_scorings() -> None:
    look = find({None: SHIFTED})
    (one,) = look.findings(0.02)
    assert (one.window_start, one.window_end) == (START, None)


def scorings(every: datetime.timedelta, times: int, bins: Mapping[str | None, int]) -> DriftLook:
    parts = []
    for number in range(times):
        part = counts({None: bins})
        moment = pa.array([START + number * every] * len(part), part["scored_at"].type)
        parts.append(part.set_column(part.column_names.index("scored_at"), "scored_at", moment))
    return find_drift(pa.concat_tables(parts), {"m1": REFERENCE}, DAILY, LATER)


@pytest.mark.parametrize(("every", "looks"), [(HOUR, 720), (DAY, 30), (7 * DAY, 30)])
def test_scorings_that_come_often_are_judged_as_strictly_as_so_many_looks_ask_for(
    every: datetime.timedelta, looks: int
) -> None:
    found = scorings(every, 40, {"a": 480, "b": 300, "c": 220}).judged
    assert len(found) == 40 and 1e-9 < found[0].p_value < 1e-4
    assert [one.q_value / one.p_value for one in found[1:]] == pytest.approx([looks] * 39)
    assert found[0].q_value / found[0].p_value == pytest.approx(30), "one scoring has no pace"


def test_withheld_labels_are_no_drift_and_said() -> None:
    look = find(days(SHIFTED), outcomes={"scored": 1000, "withheld": 1})
    assert look.judged == [] and "withheld" in look.not_judged[-1].reason


def test_failed_rows_have_no_label_and_do_not_count() -> None:
    (one,) = find(days({**CALM, None: 10**9})).judged
    assert one.rows == 1000 and not one.is_drift


def test_a_model_without_a_reference_or_a_table_without_a_quantity_is_said() -> None:
    look = find(days(CALM), model="m2")
    assert look.judged == [] and "without a reference" in look.not_judged[0].reason
    reference = Reference(model="m1", split="test", rows=9, expected={"language": {"en": 9}}, missing={})
    assert "do not have it" in find(days(CALM), reference=reference).not_judged[0].reason
    empty = Reference(model="m1", split="test", rows=0, expected={"label": {"a": 0}}, missing={})
    assert not any(one.is_drift for one in find(days(CALM), reference=empty).judged)


def test_each_of_several_labels_is_a_quantity() -> None:
    reference = Reference(model="m1", split="test", rows=1000, expected={"label": CALM}, missing={}, has_several=True)
    rows = {"a": 600, "b": 310, "c": 700}
    look = find(days(rows), reference=reference, outcomes={"scored": 1000})
    assert {one.quantity: one.is_drift for one in look.judged} == {"label:a": False, "label:b": False, "label:c": True}


def test_a_label_that_the_model_never_gave_is_a_drift() -> None:
    (one,) = find(days({"a": 550, "new": 450})).judged
    assert one.is_drift and one.bin == "new"


def test_q_values_are_for_all_quantities_of_a_window_and_all_windows_of_a_month() -> None:
    two = pa.concat_tables([counts(days(CALM)), counts(days({"1": 90, "2": 910}), quantity="input_tokens")])
    reference = Reference(
        model="m1", split="test", rows=1000, expected={"label": CALM, "input_tokens": {"1": 110, "2": 890}}, missing={}
    )
    calm = Watch(window="1d", tolerated_drift=0)
    judged = {one.quantity: one for one in find_drift(two, {"m1": reference}, calm, LATER).judged}
    tokens = judged["input_tokens"]
    assert judged["label"].p_value == pytest.approx(1)
    assert tokens.q_value == pytest.approx(min(1, 2 * tokens.p_value * 30)) and not tokens.is_drift
    assert tokens.ks == pytest.approx(0.02) and judged["label"].ks is None


def test_benjamini_hochberg_by_hand() -> None:
    assert benjamini_hochberg([0.04, 0.01, 0.03]).tolist() == pytest.approx([0.04, 0.03, 0.04])
    assert benjamini_hochberg([]).tolist() == []


HISTOGRAM = {"edges": [0.0, 0.5, 1.0], "counts": [3, 7]}


def details(task: str, **more: Any) -> dict[str, Any]:
    return {"task": task, "temperature": None, **more}


@pytest.mark.parametrize(
    ("task", "found", "expected", "missing"),
    [
        ("classify", {"labels": {"a": {"answers": 4}}, "top_score": HISTOGRAM}, ["label", "score"], []),
        ("multilabel", {"labels": {"a": {"answers": 4}}}, ["label"], []),
        ("regression", {"prediction": HISTOGRAM}, ["value"], []),
        ("clm", {"loss": HISTOGRAM, "is_packed": True}, [], ["loss"]),
        ("embed", {"similarity": HISTOGRAM}, [], []),
    ],
)
def test_references_of_every_task_also_old_ones(
    task: str, found: dict[str, Any], expected: Sequence[str], missing: Sequence[str]
) -> None:
    inputs = ["input_tokens", "unknown_share", "language"]
    old = make_reference("m1", details(task), {"split": "test", "rows": 10, **found})
    assert list(old.expected) == expected and list(old.missing) == [*missing, *inputs]
    assert "did not keep it" in old.missing["language"]
    kept = {"tokens": {"3": 10}, "unknown_share": None, "languages": None}
    new = make_reference("m1", details(task), {"split": "test", "rows": 10, "inputs": kept, **found})
    assert list(new.expected) == [*expected, "input_tokens"] and "filters.languages" in new.missing["language"]


def test_scores_that_were_kept_without_the_temperature_are_not_compared() -> None:
    found = {"split": "test", "rows": 10, "labels": {}, "top_score": HISTOGRAM}
    assert "temperature" in make_reference("m1", details("classify", temperature=1.5), found).missing["score"]
    new = make_reference("m1", details("classify", temperature=1.5), {**found, "temperature": 1.5})
    assert new.expected["score"] == {"0": 3, "1": 7}


@pytest.mark.parametrize("window", ["", "1", "h", "5h", "0d", "7m", "1w", "400d", "1.5h"])
def test_windows_that_are_none_are_refused(window: str) -> None:
    with pytest.raises(ValueError, match="expected minutes or hours that divide a day"):
        Watch(window=window)
