"""Trackers: the real libraries, offline; every step once over kills and resumes; no failure that reaches a training."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mapring.errors import StageError
from mapring.plan import Plan
from tests.training.conftest import PlanMaker
from tests.training.running import NoStop, metrics
from training import train as trainer
from training.loop import StoppedError
from training.metrics import MetricsLog
from training.ring.single import SingleRing
from training.tracking import Curve, Values, tracked
from training.tracking.background import Background
from training.tracking.chosen import dotted, run_id
from training.tracking.mlflow_run import MlflowRun
from training.tracking.tensorboard import TensorBoard
from training.tracking.wandb_run import WandbRun, wandb_mode

pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")  # MLflow's own use of SQLAlchemy

ROWS = [{"step": step, "loss": 1 / step} for step in range(1, 8)]


def test_events_of_a_start_without_a_checkpoint_are_dropped_by_the_next(tmp_path: Path) -> None:
    for last in (3, 5):
        board = TensorBoard(str(tmp_path), done=0)
        board.log("train", ROWS[:last])
        board.close()
        time.sleep(1.1)  # files are in the order of the seconds in their names
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5]


@pytest.fixture(autouse=True)
def without_services(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def wandb_records(directory: Path) -> list[Any]:
    """What the one offline run below a directory holds, as W&B's own protocol buffers.

    The file is LevelDB's log: blocks of 32 KiB of records, each behind checksum, length, type (1 whole, 2 to 4 parts).
    """
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = directory.glob("wandb/offline-run-*/run-*.wandb")
    content, place, parts, found = path.read_bytes(), 7, b"", []
    while place < len(content):
        room = 32_768 - place % 32_768
        if room < 7:
            place += room
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(parts)
            found.append(record)
            parts = b""
    return found


def wandb_rows(directory: Path) -> list[dict[str, Any]]:
    rows = [record.history.item for record in wandb_records(directory) if record.WhichOneof("record_type") == "history"]
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row} for row in rows]


def mlflow_runs(uri: str, project: str) -> tuple[Any, list[Any]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(project)
    assert experiment is not None
    return client, list(client.search_runs([experiment.experiment_id]))


def train_twice(plan: Plan) -> None:
    """As if killed while the checkpoint of step 5 was written, so from that of step 3 on again; then to the end."""
    checkpoint = Path(plan.training_directory, "checkpoints", "step-00000005")
    with pytest.raises(StoppedError):
        trainer.train(plan, SingleRing(), NoStop(after_step=5))
    Path(checkpoint, "published.json").unlink()  # as a kill leaves it that comes while it is written
    trainer.train(plan, SingleRing(), NoStop())


def test_both_have_every_step_once_over_a_resumed_training(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_finish", lambda *_: None)  # exports are no matter here, and slow
    plan = make_tiny_plan("train.tracking.wandb=true", "train.tracking.mlflow=true", "train.evaluate_checkpoints=true")
    train_twice(plan)
    lines, directory = metrics(plan), Path(plan.training_directory)
    steps = [line["step"] for line in lines]
    assert steps == list(range(1, len(steps) + 1))
    client, (run,) = mlflow_runs(f"sqlite:///{directory}/mlflow.db", "tiny")
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(entry.step, entry.value) for entry in history] == [(line["step"], line["loss"]) for line in lines]
    evaluated = [entry.step for entry in client.get_metric_history(run.info.run_id, "validation/loss")]
    assert evaluated == sorted({*range(3, len(steps) + 1, 3), len(steps)}), "and not 5, where it was told to stop"
    assert run.info.status == "FINISHED"
    assert 0 <= run.data.metrics["test/accuracy"] <= 1
    assert run.data.params["train.learning_rate"] == "0.005"
    assert run.data.tags["mapring.model"] == plan.model
    assert run.data.tags["mapring.shards"] == plan.shards
    rows = wandb_rows(directory)
    assert [row["train/step"] for row in rows if "train/step" in row] == steps
    assert [row["train/loss"] for row in rows if "train/step" in row] == [line["loss"] for line in lines]
    assert {row["validation/step"] for row in rows if "validation/step" in row} <= set(evaluated)
    (started,) = [record.run for record in wandb_records(directory) if record.WhichOneof("record_type") == "run"][:1]
    assert started.run_id == run_id(plan.training_directory, plan.model)
    assert f"model:{plan.model}" in started.tags
    config = {item.key: json.loads(item.value_json) for item in started.config.update}
    assert config["train.learning_rate"] == 0.005


def test_a_tracker_that_is_added_later_gets_the_steps_before(tmp_path: Path) -> None:
    """Of metrics.jsonl, which has them all; and those behind the checkpoint come once, with the training."""
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "validation.jsonl").write_text(json.dumps({"step": 3, "total_steps": 9, "loss": 0.5}) + "\n")
    seen = Recorder()
    MetricsLog(str(tmp_path), done=4, trackers=[seen]).close()
    assert seen.rows == [*(("train", row) for row in ROWS[:4]), ("validation", {"step": 3, "loss": 0.5})]


def test_mlflow_drops_steps_that_its_run_has(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    told: dict[str, Any] = {"run": "r", "project": "p", "settings": {"a": 1}, "tags": {"model": "m"}}
    first = MlflowRun(uri, tmp_path, **told)
    first.log("train", ROWS[:5])
    again = MlflowRun(uri, tmp_path, **{**told, "settings": {"a": 2}})  # execution settings may change in between
    again.log("train", ROWS[3:])
    again.conclude(7, {"accuracy": 0.5})
    MlflowRun(uri, tmp_path, **told).conclude(7, {"accuracy": 0.5})
    client, (run,) = mlflow_runs(uri, "p")
    assert [entry.step for entry in client.get_metric_history(run.info.run_id, "train/loss")] == list(range(1, 8))
    assert len(client.get_metric_history(run.info.run_id, "test/accuracy")) == 1
    assert run.data.params == {"a": "1"}


@pytest.mark.parametrize(
    ("environment", "mode"),
    [({}, "offline"), ({"WANDB_API_KEY": "k"}, "online"), ({"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, "offline")],
)
def test_wandb_reaches_a_network_only_where_the_environment_asks(environment: dict[str, str], mode: str) -> None:
    assert wandb_mode(environment) == mode


@pytest.mark.parametrize(
    ("package", "start"),
    [
        ("wandb", lambda where: WandbRun(where, run="r", project="p", settings={}, tags={})),
        ("mlflow", lambda where: MlflowRun("sqlite://", where, run="r", project="p", settings={}, tags={})),
    ],
)
def test_a_missing_library_is_told_with_its_extra(
    package: str, start: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(StageError, match=rf"pip install 'mapring\[{package}\]'"):
        start(tmp_path)


def test_a_store_that_cannot_be_reached_ends_the_start(make_tiny_plan: PlanMaker, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    plan = make_tiny_plan(
        "train.tracking.mlflow=true", f"train.tracking.mlflow_uri=sqlite:///{tmp_path}/file/mlflow.db", shards=False
    )
    with pytest.raises(StageError, match=r"train\.tracking\.mlflow: cannot start a run"), tracked(plan, SingleRing()):
        raise AssertionError("opened")


class Recorder:
    """Remembers; fails at a step, or waits for an event there."""

    def __init__(self, fails: int | None = None, waits: threading.Event | None = None) -> None:
        self.rows: list[tuple[str, Values]] = []
        self.is_closed = False
        self._fails, self._waits = fails, waits

    def log(self, curve: Curve, rows: Sequence[Values]) -> None:
        if self._waits is not None:
            self._waits.wait()
        for row in rows:
            if row["step"] == self._fails:
                raise OSError("the service is gone")
            self.rows.append((curve, row))

    def conclude(self, step: int, figures: Values) -> None:
        self.rows.append(("test", figures))

    def close(self) -> None:
        self.is_closed = True


def test_all_is_passed_on_in_order_before_the_end() -> None:
    seen = Recorder()
    tracker = Background("W&B", seen)
    for row in ROWS:
        tracker.log("train", [row])
    tracker.conclude(7, {"accuracy": 1.0})
    tracker.close()
    assert seen.rows == [*(("train", row) for row in ROWS), ("test", {"accuracy": 1.0})]
    assert seen.is_closed


def test_the_first_error_is_told_once_and_is_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Recorder(fails=3)
    tracker = Background("W&B", seen)
    for row in ROWS:
        tracker.log("train", [row])
    tracker.close()
    assert [row["step"] for _, row in seen.rows] == [1, 2]
    told = capsys.readouterr().err
    assert told.count("warning") == 1
    assert "W&B gets no more values (the service is gone); the training goes on without it" in told


def test_a_service_that_stands_still_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    release = threading.Event()
    tracker = Background("MLflow", Recorder(waits=release), patience=0.1)
    tracker.log("train", ROWS)
    tracker.close()
    release.set()
    assert "MLflow gets no more values (it has not taken up everything within 0 s)" in capsys.readouterr().err


def test_no_ask_opens_nothing(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan(shards=False)
    with tracked(plan, SingleRing()) as trackers:
        assert trackers == []
    assert not Path(plan.training_directory).exists()


def test_another_training_of_the_same_model_is_another_run(tmp_path: Path) -> None:
    here, there = run_id(str(tmp_path / "a"), "f00d"), run_id(str(tmp_path / "b"), "f00d")
    assert here.startswith("f00d-")
    assert here != there
    assert run_id(str(tmp_path / "a"), "f00d") == here


def test_only_settings_that_shape_a_training_are_sent(make_tiny_plan: PlanMaker) -> None:
    """No address of a webhook, no setting of Spark, and nothing of a section that is added later."""
    hooks = 'alerts.webhooks=[{name: desk, url: "https://example.org/hook/s3cret"}]'
    plan = make_tiny_plan("train.tracking.mlflow=true", hooks, "spark.conf={spark.ssl.key: s3cret}", shards=False)
    with tracked(plan, SingleRing()):
        pass
    _, (run,) = mlflow_runs(f"sqlite:///{plan.training_directory}/mlflow.db", "tiny")
    assert {name.split(".")[0] for name in run.data.params} == {"name", "seed", "preprocess", "train", "ring"}
    assert "s3cret" not in str(run.data.params)
    assert not any(name.startswith("train.tracking") for name in run.data.params), "its address may hold a password"


def test_settings_are_told_by_dotted_names() -> None:
    assert dotted({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}
