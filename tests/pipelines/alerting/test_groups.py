"""Alerts of groups: recorded with their group, found again after a kill; where none are counted nothing changes."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mapring.settings.alerts import Alerts, Surges
from mapring.settings.watch import Watch
from mapring.watch.findings import Finding
from mapring.watch.series import read_series
from pipelines.alerting import evidence
from pipelines.alerting.evidence import Evidence
from pipelines.alerting.records import Record, alert_id
from pipelines.alerting.wording import payload, sentence
from tests.mapring.watch.counts import HOUR, MODEL, START, drift, hour_rows, hours
from tests.mapring.watch.grouped import grouped, of_sources
from tests.pipelines.alerting.world import Ground, World

BEGIN = 24 * 9
VOLUMES = {"A": 400, "B": 300, "C": 250, "tiny": 40}


class GroupedWorld(World):
    """A pipeline whose source has groups, one of which surges."""

    surges = MappingProxyType({"A": dict.fromkeys(range(BEGIN, BEGIN + 3), 0.35)})
    by_group = True
    moved = 0  # rows that late files have moved from B to C in the first judged hour

    def _gather(self) -> Evidence:
        counts = grouped(self.hour, VOLUMES, self.surges)  # type: ignore[arg-type]
        if self.moved:
            rows = counts.to_pylist()
            for row in rows:
                if row["window_start"] == START + (BEGIN - 1) * HOUR and row["label"] == "calm":
                    row["rows"] += {"B": -self.moved, "C": self.moved}.get(row["group"], 0)
            counts = counts.from_pylist(rows, counts.schema)
        sources = of_sources(counts)
        groups = counts if self.by_group else None
        return Evidence(counts=sources, newest=self.newest(sources), drifts=self.drifts, groups=groups)


@pytest.fixture
def world(tmp_path: Path) -> GroupedWorld:
    return GroupedWorld(Ground(tmp_path), hour=BEGIN + 3)


def test_an_alert_of_a_group_names_it_everywhere(world: GroupedWorld) -> None:
    path = world.folder / "mapring.prom"
    world.settings = Alerts(surges=Surges(judge_days=1), prometheus_file=str(path))
    [record] = world.look().log()
    assert (record.source, record.group, record.quantity, record.status) == ("shop", "A", "rare", "alert")
    assert sentence(record).startswith("surge of 'rare' of shop, group 'A', from 2026-03-11 00:00 to ")
    assert payload(record)["group"] == "A" and "group 'A'" in payload(record)["text"]
    assert json.loads((world.folder / "alerts/log/00000000.json").read_text())["group"] == "A"
    assert ["group 'A'" in line for line in world.lines()] == [True]
    families = {family.name: family for family in text_string_to_metric_families(path.read_text())}
    assert [sample.labels["group"] for sample in families["mapring_alerts"].samples] == ["A"]
    assert Record.from_bytes(record.to_bytes()) == record


def test_a_second_look_and_one_after_a_kill_find_the_same(world: GroupedWorld) -> None:
    first = world.look().log()
    judged = json.loads((world.folder / "alerts/judged.json").read_text())
    assert judged["surges"][0]["group"] == "A" and set(judged["groups"]) == {"shop"}
    assert world.alerting().look().judged == 0, "nothing has changed"
    (world.folder / "alerts/judged.json").unlink()
    assert world.look().log() == first and len(world.lines()) == 1
    assert json.loads((world.folder / "alerts/judged.json").read_text())["groups"] == judged["groups"]


def test_rows_that_only_change_their_group_are_judged_again(world: GroupedWorld) -> None:
    world.look()
    world.moved = 5
    assert world.alerting().look().judged == 4 * 4, "the hour and three after it, of a source and three groups"


def test_a_window_that_has_only_begun_does_not_shorten_what_groups_are_read_of() -> None:
    """Behind a pause of a source: until its window is complete, the windows before the pause are what is remembered."""
    pause = 24 * 60
    settings = SimpleNamespace(watch=Watch(window="1h"), alerts=Alerts())
    rows = [*hours(48), *hour_rows(pause)]
    [series] = read_series(pa.Table.from_pylist(rows))
    begun = evidence._oldest([series], settings, START + pause * HOUR + HOUR / 2)  # type: ignore[arg-type]
    over = evidence._oldest([series], settings, START + (pause + 2) * HOUR)  # type: ignore[arg-type]
    assert over - begun == (pause - 47) * HOUR


def test_groups_that_are_counted_from_now_on_change_nothing_of_what_is_known(world: GroupedWorld) -> None:
    world.by_group = False
    [record] = world.look().log()
    judged = json.loads((world.folder / "alerts/judged.json").read_text())
    assert record.group is None and set(judged) == {"windows", "surges", "drifts"}
    assert set(judged["surges"][0]) == {"source", "label", "start", "last"}, "as it was before there were groups"
    world.by_group = True
    assert [one.group for one in world.look().log()] == [None, "A"] and world.log()[0] == record


def test_a_drift_of_the_source_is_the_reason_that_a_group_is_held_back(world: GroupedWorld) -> None:
    world.drifts = (drift("language", "shop", BEGIN, BEGIN + 1),)
    world.settings = Alerts(surges=Surges(judge_days=1), drift=False)
    [record] = world.look().log()
    assert (record.group, record.status) == ("A", "held back") and record.reason is not None
    assert world.lines() == []


def test_ids_of_alerts_without_a_group_are_those_from_before() -> None:
    finding = Finding(
        kind="surge",
        quantity="rare",
        source="shop",
        window_start=START,
        window_end=START + HOUR,
        observed=0.3,
        expected=0.1,
        statistic=0.0,
        q_value=0.0,
        rows=100,
        model_fingerprint=MODEL,
    )
    assert alert_id("reviews", finding) == "421f883598c1a1744a29aa98f09fbf85"
    assert alert_id("reviews", Finding(**{**vars(finding), "group": "A"})) != alert_id("reviews", finding)


def test_a_record_from_before_groups_is_read() -> None:
    values = {
        "id": "0" * 32,
        "status": "alert",
        "reason": None,
        "pipeline": "reviews",
        "kind": "surge",
        "quantity": "rare",
        "source": "shop",
        "window_start": "2026-03-02T00:00:00Z",
        "observed": 0.3,
        "window_end": "2026-03-02T01:00:00Z",
        "expected": 0.1,
        "statistic": 0.0,
        "q_value": 0.0,
        "rows": 100,
        "model_fingerprint": MODEL,
        "count": 30,
        "examples": [],
        "examples_note": None,
        "recorded_at": "2026-03-02T02:00:00Z",
    }
    record = Record.from_bytes(json.dumps(values).encode())
    assert record.group is None and sentence(record).startswith("surge of 'rare' of shop from 2026-03-02 00:00 to ")
