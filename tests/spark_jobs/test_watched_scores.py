"""Counts of the scores table are those of its rows, whatever was scored late, again, carried over or taken back."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from mapring import storage
from mapring.errors import SettingsError
from mapring.plan import Plan
from mapring.scores.table import read_table
from mapring.scores.verify import verify_scores
from mapring.watch import stored
from mapring.watch.counting import count_rows, label_counts
from mapring.watch.groups import count_groups
from mapring.watch.watched import counting_of, look
from pipelines.alerting.examples import find_places
from pipelines.alerting.records import Record, append, read_log
from pipelines.alerts import alerts
from pipelines.report import write_report
from pipelines.scores import roll_back, vacuum
from pipelines.watch import watch
from spark_jobs import score as stage
from spark_jobs.score import score
from tests.mapring.watch.counts import surge_of_label
from tests.spark_jobs.scored_world import World
from tests.tiny import sentence

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

START = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
TIMED = ("score.inputs.0.format=jsonl", "score.inputs.0.text_column=text", "score.inputs.0.time_column=when")


class TimedWorld(World):
    """Files of which each line has a time, one hour after the line before."""

    def add(self, name: str, lines: int, first: int = 0) -> Path:
        path = self.root / "days" / f"{name}.jsonl"
        rows = [
            {"text": sentence(number)[0], "when": (START + number * datetime.timedelta(hours=1)).isoformat()}
            for number in range(first, first + lines)
        ]
        rows[-1:] = [{"text": f"{rows[-1]['text']} \u2603", "when": None}]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return path

    def plan(self, *overrides: str) -> Plan:
        return super().plan(*TIMED, "watch.window=1h", *overrides)


@pytest.fixture
def world(tmp_path: Path) -> TimedWorld:
    return TimedWorld(tmp_path)


def check(plan: Plan, monkeypatch: pytest.MonkeyPatch, *, is_kept: bool = True) -> pa.Table:
    """The counts of the table, which are those of its rows, and were made when these were written."""
    table = read_table(plan.run.scores)
    assert table is not None
    rows = DeltaTable(plan.run.scores).to_pyarrow_table()
    with monkeypatch.context() as patch:
        if is_kept:
            patch.setattr(stored, "count_rows", lambda *_: pytest.fail("rows were counted again"))
        watched = look(plan.settings)
    assert watched is not None
    assert watched.counts.equals(count_rows(rows, counting_of(plan.settings, table.models)))
    assert sum(label_counts(watched.counts)["rows"].to_pylist()) == len(rows) == table.rows
    return watched.counts


def test_counts_follow_the_table(world: TimedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add("b", 5, first=100)
    plan = world.plan()
    score(plan)
    first = check(plan, monkeypatch)
    hours = [row["window_start"] for row in first.to_pylist() if row["quantity"] == "row"]
    assert len(set(hours)) == 29 + 4 + 1 and None in hours, "every hour, and the rows without a time"
    world.add("c", 3, first=10)  # late
    score(world.plan())
    assert check(plan, monkeypatch) != first
    world.add("b", 7, first=300)  # changed; rows of a small file stay and are carried over
    score(world.plan())
    check(plan, monkeypatch)
    (world.root / "days" / "c.jsonl").unlink()
    score(world.plan("score.removed_inputs=drop"))
    check(plan, monkeypatch)
    other = "0123456789abcdef"
    world.publish(other, seed=2)
    world.add("d", 4, first=500)
    score(world.plan(f"score.model={other!r}", "score.new_model=new_rows"))
    mixed = check(plan, monkeypatch)
    assert set(mixed["model_fingerprint"].to_pylist()) == {world.model, other}
    roll_back(str(world.config), 0)
    assert check(plan, monkeypatch).equals(first), "what was counted is still there"


def test_a_killed_run_leaves_nothing_that_counts(world: TimedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    score(world.plan())
    before = check(world.plan(), monkeypatch)
    world.add("b", 5)

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "update_table", die)
    with pytest.raises(KeyboardInterrupt):
        score(world.plan())
    monkeypatch.undo()
    kept = storage.list_names(storage.join(world.plan().run.scores, "_counts"))
    assert len(kept) == 2 and check(world.plan(), monkeypatch).equals(before)
    score(world.plan())
    check(world.plan(), monkeypatch)


def test_what_is_not_kept_is_counted_from_the_columns(world: TimedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a file that an older mapring or a compaction made, or with windows of another length."""
    world.add("b", 5)
    score(world.plan("score.rows_per_file=4"))
    DeltaTable(world.plan().run.scores).optimize.compact()
    hourly = check(world.plan(), monkeypatch, is_kept=False)
    assert check(world.plan(), monkeypatch).equals(hourly), "and then kept"
    daily = check(world.plan("watch.window=1d"), monkeypatch, is_kept=False)
    assert daily.num_rows < hourly.num_rows
    vacuum(str(world.config), 0, dry_run=False)
    table = read_table(world.plan().run.scores)
    assert table is not None and len(table.files) == 1
    kept = storage.list_names(storage.join(table.uri, "_counts"))
    assert len(kept) == 2, "an hour's and a day's, of the one file that is left"


class GroupedWorld(TimedWorld):
    """Each line is of one of three groups, but for some of none."""

    def add(self, name: str, lines: int, first: int = 0) -> Path:
        path = super().add(name, lines, first)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        told = [{**row, "who": [None, "A", "B", "C"][number % 4]} for number, row in enumerate(rows)]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in told))
        return path


GROUPED = ("score.inputs.0.group_column=who", "watch.by_group=true")


def check_groups(plan: Plan, monkeypatch: pytest.MonkeyPatch, *, is_kept: bool = True) -> pa.Table:
    """The counts by group of the table, which are those of its rows."""
    table = DeltaTable(plan.run.scores).to_pyarrow_table()
    watched = look(plan.settings)
    assert watched is not None
    with monkeypatch.context() as patch:
        if is_kept:
            patch.setattr(stored, "count_groups", lambda *_: pytest.fail("rows were counted again"))
        found = watched.groups()
    expected = count_groups(table, counting_of(plan.settings, []))
    assert found is not None
    order = [(name, "ascending") for name in found.column_names]
    assert found.sort_by(order).equals(expected.sort_by(order))
    counted = [row for row in table.to_pylist() if row["group"] is not None and row["time"] is not None]
    assert sum(found["rows"].to_pylist()) == len(counted)
    return found


def test_groups_are_counted_in_the_same_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = GroupedWorld(tmp_path)
    world.add("b", 40, first=100)
    score(world.plan(*GROUPED))
    check(world.plan(*GROUPED), monkeypatch)
    first = check_groups(world.plan(*GROUPED), monkeypatch)
    assert {*first["group"].to_pylist()} == {"A", "B", "C"}
    world.add("b", 7, first=300)  # changed; rows of a small file stay and are carried over
    score(world.plan(*GROUPED))
    second = check_groups(world.plan(*GROUPED), monkeypatch)
    watched = look(world.plan(*GROUPED).settings)
    assert watched is not None
    since = START + datetime.timedelta(hours=300)
    late = watched.groups(since)
    assert late is not None and 0 < late.num_rows < second.num_rows and min(late["window_start"].to_pylist()) >= since
    uri = world.plan().run.scores
    assert verify_scores(uri) == []
    tell_of_a_group(world.plan(*GROUPED), monkeypatch)
    live = watched.table.files[0].path.rpartition("/")[2].removesuffix(".parquet")
    [name] = [name for name in storage.list_names(storage.join(uri, "_counts")) if name.startswith(f"{live}.groups-")]
    pq.write_table(pq.read_table(Path(uri, "_counts", name)).slice(1), Path(uri, "_counts", name))
    (problem,) = verify_scores(uri)
    assert name in problem and "is not what the rows of data/" in problem


def tell_of_a_group(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of a group's surge are its own, and the report draws it."""
    rows = DeltaTable(plan.run.scores).to_pyarrow_table().to_pylist()
    label = next(row["label"] for row in rows if row["group"] == "A" and row["time"] is not None)
    end = START + datetime.timedelta(hours=400)
    surge = surge_of_label(label, "unseen", START, end, model=rows[0]["model_fingerprint"], group="A")
    found = find_places(plan.run.scores, surge, 1000)
    places = {(one["path"], one["record"]) for one in found}
    assert len(found) == len(places)
    own = [row for row in rows if row["group"] == "A" and row["label"] == label and row["time"] is not None]
    assert places == {(row["path"], row["record"]) for row in own}
    rest = {"pipeline": "p", "count": 50, "examples": (), "examples_note": None, "recorded_at": START}
    append(plan.run.alerts, 0, Record(**vars(surge), **rest, id="0" * 32, status="alert", reason=None))
    monkeypatch.setattr("pipelines.report.gather_model", lambda _plan: None)
    monkeypatch.setattr("pipelines.report.gather_scores", lambda _plan: None)
    write_report(plan)
    page = Path(plan.run.report).read_text()
    assert ">unseen, A</td>" in page and f"unseen, A: {label}, surge from 2026-03-02 00:00" in page
    assert "largest groups" in page and "unseen, B, model " in page


def test_groups_of_a_table_from_before_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = GroupedWorld(tmp_path)
    score(world.plan("score.inputs.0.group_column=who"))
    uri = world.plan().run.scores
    (before,) = storage.list_names(storage.join(uri, "_counts"))
    watched = look(world.plan("score.inputs.0.group_column=who").settings)
    assert watched is not None and watched.groups() is None, "not without the setting"
    counted = check_groups(world.plan(*GROUPED), monkeypatch, is_kept=False)
    assert check_groups(world.plan(*GROUPED), monkeypatch).equals(counted), "and then kept"
    assert before in storage.list_names(storage.join(uri, "_counts")), "counts of sources are what they were"
    score(world.plan(*GROUPED, "score.rescore=true"))
    vacuum(str(world.config), 0, dry_run=False)
    assert len(storage.list_names(storage.join(uri, "_counts"))) == 2, "those of dead files are gone"
    assert len(list(Path(uri, "data").glob("*.parquet"))) == 1


def test_verify_finds_counts_that_are_not_those_of_the_rows(world: TimedWorld) -> None:
    score(world.plan())
    uri = world.plan().run.scores
    (name,) = storage.list_names(storage.join(uri, "_counts"))
    place = Path(uri, "_counts", name)
    content = place.read_bytes()
    found = pq.read_table(place)
    pq.write_table(found.slice(1), place)
    (problem,) = verify_scores(uri)
    assert "is not what the rows of data/" in problem
    place.write_bytes(content[:-20])
    (problem,) = verify_scores(uri)
    assert "cannot be read" in problem and "remove it" in problem
    place.write_bytes(content)
    assert verify_scores(uri) == []


def test_tokens_languages_and_unknown_ones_are_columns(world: TimedWorld) -> None:
    plan = world.plan("score.languages=true")
    score(plan)
    rows = sorted(DeltaTable(plan.run.scores).to_pyarrow_table().to_pylist(), key=lambda row: row["record"])
    assert all(row["input_tokens"] > 2 and row["language"] for row in rows)
    assert [row["unknown_tokens"] for row in rows] == [0] * 29 + [1]
    assert verify_scores(plan.run.scores) == []


def test_the_command_and_the_report_tell_what_was_found(
    world: TimedWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="found no scores table"):
        watch(world.plan())
    for number in range(3):
        world.add(f"more{number}", 100, first=200 * number)
    score(world.plan())
    watch(world.plan())
    told = capsys.readouterr().err
    assert "the model was published without a reference" in " ".join(told.split())
    found = json.loads(Path(world.plan().run.watch, "drift.json").read_text())
    assert found["findings"] == [] and found["newest"] == [] and found["version"] == 0
    answers = Counter(row["label"] for row in DeltaTable(world.plan().run.scores).to_pyarrow_table().to_pylist())
    ((usual, _),) = answers.most_common(1)
    labels = {label: {"answers": 20 if label == usual else 440} for label in ("negative", "neutral", "positive")}
    reference = {"split": "test", "rows": 900, "labels": labels}
    monkeypatch.setattr("mapring.watch.reference._histograms", lambda *_: reference)
    monkeypatch.setenv("COLUMNS", "200")
    settings = ("watch.minimum_rows=50", "watch.window=1d")
    watch(world.plan(*settings))
    told = capsys.readouterr()
    assert "drift since 2026-03-" in told.out and "label" in told.out and "quantities drift now" in told.err
    found = json.loads(Path(world.plan().run.watch, "drift.json").read_text())
    assert found["findings"] and {one["kind"] for one in found["findings"]} == {"drift"}
    assert datetime.datetime.fromisoformat(found["findings"][0]["window_start"]) >= START
    plan = world.plan(*settings, "alerts={}")
    alerts(plan.config, plan.overrides)
    log = read_log(plan.run.alerts)
    assert log and {(record.kind, record.status) for record in log} == {("drift", "alert")}
    day = START + datetime.timedelta(days=1)
    surge = {"kind": "surge", "quantity": usual, "window_start": day, "window_end": day + datetime.timedelta(days=2)}
    append(plan.run.alerts, len(log), replace(log[0], source="unseen", status="held back", reason="a drift", **surge))
    monkeypatch.setattr("pipelines.report.gather_model", lambda _plan: None)
    monkeypatch.setattr("pipelines.report.gather_scores", lambda _plan: None)
    write_report(plan)
    page = Path(world.plan().run.report).read_text()
    assert '<h2 id="watch">' in page and "<b>lasts</b>" in page and page.count("2026-03-") >= 2 and "span-held" in page
    assert "drift of <code>label</code>" in page and f"unseen: {usual}, surge from 2026-03-03 00:00" in page
    assert "held back: a drift" in page
