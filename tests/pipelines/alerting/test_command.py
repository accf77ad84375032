"""`mapring alerts` on a scores table, from its rows to an alert with redacted texts; after a scheduled scoring, too."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from deltalake import write_deltalake
from typer.testing import CliRunner

from mapring.contract.schemas import score_schema
from mapring.errors import SettingsError, StageError
from mapring.lineage import content_identity
from mapring.run_directory import RunDirectory
from pipelines import alerts as command
from pipelines import schedule as scheduling
from pipelines.alerting.records import read_log
from pipelines.cli import app
from pipelines.schedule import make_scheduler
from pipelines.scheduling.stopping import SystemClock
from tests.mapring.publishing import publish
from tests.pipelines.scheduling.world import FakeClock
from tests.tiny import config_values, write_corpus, write_tokenizer

MODEL = "0" * 16
DAYS, SURGED = 12, 11  # whole days up to yesterday, and the one with a surge of `positive`


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A pipeline whose scores table is there: 300 rows a day of texts with a time, and an e-mail address in each."""
    write_corpus(tmp_path / "corpus")
    write_tokenizer(tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / "config.json").write_text("{}")
    today = datetime.datetime.now(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    path = tmp_path / "new" / "a.jsonl"
    path.parent.mkdir()
    random = np.random.default_rng(1)
    lines, rows = [], []
    for day in range(DAYS):
        for number in range(300):
            moment = today - datetime.timedelta(days=DAYS - day) + datetime.timedelta(minutes=4 * number)
            label = "positive" if random.random() < (0.5 if day == SURGED else 0.2) else "negative"
            lines.append({"text": f"Day {day}, text {number}, write to me@x.org", "when": moment.isoformat()})
            rows.append({"record": len(lines), "label": label, "score": 0.5 + number / 1000, "time": moment})
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    values = config_values(tmp_path)
    values["score"]["inputs"] = [{"name": "new", "path": str(path.parent), "format": "jsonl", "time_column": "when"}]
    values["alerts"] = {"log_file": str(tmp_path / "alerts.log"), "example_characters": 60}
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(values))
    run = RunDirectory(values["run_dir"])
    publish(Path(run.model(MODEL)), text={}, task="classify", labels=["negative", "positive"])
    schema = score_schema("classify")
    common = {
        "source": "new",
        "path": "a.jsonl",
        "input_identity": content_identity(str(path)),
        "model_fingerprint": MODEL,
        "settings_fingerprint": "1" * 16,
        "run_id": "r",
        "scored_at": today,
    }
    full = [{**common, **row, "doc_id": f"{row['record']:032x}"} for row in rows]
    columns = {name: [row.get(name) for row in full] for name in schema.names}
    arrays: list[Any] = [
        pa.array([str(value) if value is not None and name == "text_hash" else value for value in columns[name]])
        if schema.field(name).type == pa.null()
        else pa.array(columns[name], schema.field(name).type)
        for name in schema.names
    ]
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    write_deltalake(run.scores, pa.Table.from_arrays(arrays, schema=nullable))
    return str(config)


def told(config: str, *words: str) -> str:
    done = CliRunner(env={"COLUMNS": "220"}).invoke(app, ["alerts", config, *words])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_a_surge_becomes_an_alert_with_its_texts_redacted(config: str, tmp_path: Path) -> None:
    assert "surge of 'positive' of new from" in told(config, "--dry-run")
    assert not (tmp_path / "run" / "alerts").exists()
    said = told(config)
    assert "5 windows judged, 1 alerts, 0 held back, 3 not judged: no history yet, 1 to log_file" in said
    assert "0 windows judged, 0 alerts, 0 held back" in told(config)
    [record] = read_log(str(tmp_path / "run" / "alerts"))
    assert (record.source, record.quantity, record.model_fingerprint) == ("new", "positive", MODEL)
    assert record.examples_note is None and len(record.examples) == 3
    for text in record.examples:
        assert text.startswith("Day 11, text 29") and text.endswith("write to <email>") and "x.org" not in text
    [line] = (tmp_path / "alerts.log").read_text().splitlines()
    assert record.id in line


def test_of_an_input_that_has_changed_no_text_is_told(config: str, tmp_path: Path) -> None:
    (tmp_path / "new" / "a.jsonl").write_text('{"text": "another", "when": ""}\n')
    told(config)
    [record] = read_log(str(tmp_path / "run" / "alerts"))
    assert record.examples == () and record.examples_note == "new/a.jsonl has changed since it was scored"


def test_without_a_table_or_alerts_the_command_says_what_to_do(config: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"found no scores table at .* run `mapring score"):
        command.alerts(config, [f"run_dir={tmp_path / 'other'}"])
    with pytest.raises(SettingsError, match="alerts: is missing; add it"):
        command.alerts(config, ["alerts=null"])
    with pytest.raises(SettingsError, match="found no environment variable 'NO_SUCH'"):
        command.alerts(
            config, ['alerts.webhooks=[{"name": "a", "url": "http://127.0.0.1:9", "secret_env": "NO_SUCH"}]']
        )


def test_a_schedule_alerts_after_each_scoring(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(scheduling, "run_stage", lambda *_args, **_named: order.append("score") or True)
    monkeypatch.setattr(command, "look", lambda *_args: order.append("alerts"))
    scheduler = make_scheduler(config, ["schedule.cron=0 * * * *"], SystemClock())
    assert scheduler.run(lambda _process: None) is True
    assert order == ["score", "alerts"]


def test_alerts_that_fail_are_told_and_tried_again_and_lose_no_scoring(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_args: object) -> None:
        raise StageError("the log is damaged")

    monkeypatch.setattr(command, "look", fail)
    clock = FakeClock()
    command.alert_after_scoring(config, [], clock)
    assert clock.waits == [5.0, 10.0]
    said = capsys.readouterr().err
    assert said.count("the log is damaged") == 3 and "left to the next run" in said


def test_a_schedule_tells_at_its_start_what_its_sinks_lack(config: str) -> None:
    hook = 'alerts.webhooks=[{"name": "a", "url_env": "NO_SUCH"}]'
    with pytest.raises(SettingsError, match="found no environment variable 'NO_SUCH'"):
        make_scheduler(config, ["schedule.cron=0 * * * *", hook], SystemClock())


def test_a_run_waits_for_another_one_and_not_for_ever(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = FakeClock(datetime.datetime.now(datetime.UTC))
    alerting = command.make_alerting(config, [], clock)
    note = tmp_path / "run" / "alerts" / "running.json"
    note.parent.mkdir(parents=True)
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        found = {"holder": "a", "host": "elsewhere", "process": 7, "time": "", "since": "", "beat": len(beats)}
        note.write_text(json.dumps(found))

    beat()
    clock.while_waiting = beat
    assert command.look(config, alerting) is None
    assert "process 7 on elsewhere is at work on these alerts; nothing was done here" in capsys.readouterr().err
    assert 150 <= clock.passed < 170 and not read_log(alerting.root)
    clock.while_waiting = lambda: note.unlink(missing_ok=True)
    found = command.look(config, alerting)
    assert found is not None and len(found.records) == 1 and not note.exists()
