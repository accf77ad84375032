"""`mapring tune` end to end on a tiny model: with trainings that are made up, and over the real launcher."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mapring.contract import is_published, read_manifest
from mapring.errors import MapringError, StageError
from mapring.plan import Plan, make_plan
from pipelines import tune as tuning
from pipelines.tuning import trainings
from pipelines.tuning.leftovers import end_leftovers
from pipelines.tuning.space import trial_words
from pipelines.tuning.trainings import UnknownMetricError
from tests.training.shards import tiny_model
from tests.training.tiny_plan import WORDS, publish_shards, tiny_plan

ROOT = Path(__file__).resolve().parents[3]
RATES = "tune.space.train.learning_rate={choices: [1.0e-3, 2.0e-3, 1.0e-7]}"
WORDS_OF_ALL = ("train.learning_rate=1.0e-3", RATES, "tune.startup_trials=1")


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "model", WORDS)


@pytest.fixture
def config(tmp_path: Path, base_model: Path) -> str:
    plan = tiny_plan(tmp_path, base_model)
    publish_shards(plan, base_model)
    return plan.config


def study(config: str, *words: str) -> Path:
    """The directory of a search's results."""
    plan = make_plan(config, words)
    return Path(plan.run.root, "tuning", tuning.study_fingerprint(plan))


def trials(config: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((study(config, *words) / "trials.json").read_text())
    return found


class MadeUp:
    """Stands in for the start of a stage: a model with a loss that follows from the learning rate."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: str = "", figure: str = "loss") -> None:
        self.started: list[float] = []
        self.models: dict[str, float] = {}
        self._error, self._figure = error, figure
        monkeypatch.setattr(tuning, "run_stage", lambda *_: False)
        monkeypatch.setattr(trainings, "run_stage", self.run)
        monkeypatch.setattr(trainings, "is_published", lambda directory: directory in self.models)
        monkeypatch.setattr(trainings, "read_manifest", self.manifest)

    def run(self, stage: str, plan: Plan, started: object) -> bool:
        rate = plan.settings.train.learning_rate
        assert stage == "train" and plan.settings.train.baselines is False
        self.started.append(rate)
        if self._error and rate != 1e-3:
            raise StageError(self._error)
        Path(plan.training_directory, "checkpoints").mkdir(parents=True)
        Path(plan.model_directory).mkdir(parents=True)
        self.models[plan.model_directory] = rate
        return True

    def manifest(self, directory: str) -> Any:
        class Manifest:
            details = {"evaluation": {"validation": {self._figure: 1 - 100 * self.models[directory], "confusion": []}}}  # noqa: RUF012

        return Manifest


def test_the_best_becomes_a_config_and_losers_are_removed(
    config: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made_up = MadeUp(monkeypatch)
    tuning.tune(config, [*WORDS_OF_ALL, "tune.trials=6"])
    assert made_up.started[0] == 1e-3 and len(made_up.started) == 3, "what is published is not trained again"
    found = trials(config, *WORDS_OF_ALL)
    assert [trial["state"] for trial in found["trials"]] == ["complete"] * 6
    assert found["direction"] == "minimize" and found["gain_over_defaults"] == pytest.approx(0.1)
    plan = make_plan(str(study(config, *WORDS_OF_ALL) / "best.yaml"))
    assert plan.settings.train.learning_rate == 2e-3 and plan.model_directory in made_up.models
    left = {made_up.models[path] for path in made_up.models if Path(path).exists()}
    assert left == {1e-3, 2e-3}
    kept = {path.parent.name for path in Path(plan.run.root, "training").glob("*/checkpoints")}
    assert kept == {Path(path).name for path in made_up.models if Path(path).exists()}
    said = capfd.readouterr()
    assert "0.1000 better than the settings as they stand" in said.err and "as it stands" in said.out
    tuning.tune(config, [*WORDS_OF_ALL, "tune.trials=6"])
    assert len(made_up.started) == 3


def test_models_are_kept_where_asked_and_a_model_of_others_always(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up = MadeUp(monkeypatch)
    tuning.tune(config, [*WORDS_OF_ALL, "tune.trials=6", "tune.keep_models=true"])
    assert all(Path(path).exists() for path in made_up.models)
    tuning.tune(config, [*WORDS_OF_ALL, "tune.trials=6", "tune.seed=1"])
    assert all(Path(path).exists() for path in made_up.models), "another search did not make them"


def test_failures_are_recorded_and_end_the_search_only_where_all_fail(
    config: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    MadeUp(monkeypatch, error="train: step 3: found loss nan\nThere is no checkpoint")
    tuning.tune(config, [*WORDS_OF_ALL, "tune.trials=6"])
    found = trials(config, *WORDS_OF_ALL)
    assert {trial["state"] for trial in found["trials"]} == {"complete", "failed"} and found["best"] == 0
    assert "failed: train: step 3: found loss nan in" in capfd.readouterr().err
    words = ["train.learning_rate=2.0e-3", RATES, "tune.trials=1"]
    with pytest.raises(StageError, match="all 1 trials failed, of which the first: train: step 3: found loss nan\n"):
        tuning.tune(config, words)
    assert trials(config, *words)["best"] is None


def test_a_training_that_somebody_stops_stops_the_search(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MadeUp(monkeypatch, error="train: stopped as asked after step 3")
    with pytest.raises(StageError, match=r"trial \d was stopped: train: stopped as asked"):
        tuning.tune(config, [*WORDS_OF_ALL, "tune.trials=6"])


def test_a_metric_that_models_have_not_is_told_after_the_first(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up = MadeUp(monkeypatch, figure="accuracy")
    with pytest.raises(UnknownMetricError, match=r"tune.metric: found 'loss'.*expected one of: accuracy") as caught:
        tuning.tune(config, list(WORDS_OF_ALL))
    assert caught.value.exit_code == 2 and len(made_up.started) == 1


def test_a_corpus_without_validation_rows_is_refused(
    tmp_path: Path, base_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny_plan(tmp_path, base_model)
    publish_shards(plan, base_model, {"train": [], "validation": [], "test": []})
    monkeypatch.setattr(tuning, "run_stage", lambda *_: False)
    with pytest.raises(MapringError, match="found no validation rows"):
        tuning.tune(plan.config, [RATES])


LONG = (
    *("train.learning_rate=1.0e-3", "train.epochs=60", "train.checkpoint_every_steps=30"),
    *("tune.space.train.learning_rate={choices: [1.0e-3, 1.0e-7]}", "tune.startup_trials=1", "tune.trials=3"),
)


@contextmanager
def started(config: str) -> Iterator[subprocess.Popen[str]]:
    """A search as a user starts it; whatever comes, it has ended afterwards."""
    words = [sys.executable, "-m", "pipelines.cli", "tune", config, *LONG]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_search_that_is_killed_goes_on_and_ends_with_the_best(config: str) -> None:
    first = make_plan(config, [*LONG, "train.baselines=false"])
    metrics, deadline = Path(first.training_directory, "metrics.jsonl"), time.monotonic() + 600
    try:
        with started(config) as process:
            while not metrics.exists() or len(metrics.read_bytes().splitlines()) < 60:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline, "no progress"
                time.sleep(0.1)
            process.kill()
            process.wait()
        assert not is_published(first.model_directory)
        with started(config) as process:
            said, _ = process.communicate(timeout=1200)
            assert process.returncode == 0, said
    finally:
        trained = [trial_words({"train.learning_rate": rate}, watched=True) for rate in (1e-3, 1e-7)]
        left = sum(end_leftovers(config, [*LONG, *words]) for words in trained)
    assert not left, said
    assert "trial 0 interrupted, and is taken up again" in said
    assert "going on from the checkpoint of step" in said
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == list(range(1, 901))
    found = trials(config, *LONG)
    by_state = {trial["state"] for trial in found["trials"] if trial["values"]["train.learning_rate"] == 1e-7}
    assert by_state == {"pruned"} and found["best"] == 0 and len(found["trials"]) == 3
    best = make_plan(str(study(config, *LONG) / "best.yaml"))
    assert best.model == first.model
    value = read_manifest(best.model_directory).details["evaluation"]["validation"]["loss"]
    assert found["trials"][0]["value"] == value
