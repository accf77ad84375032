"""The study with trainings that are made up: what is tried, what a kill leaves, and what goes on after it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from mapring.errors import StageError
from mapring.plan import Plan
from pipelines.tuning.space import make_space
from pipelines.tuning.study import Outcome, Trial, TrialRecord, best_of, open_study, ranked
from tests.pipelines.tuning.conftest import BATCH, RATE, PlanMaker

Runner = Callable[[Trial], Outcome]
SEED = "tune.seed=5"


class Killed(BaseException):
    """The search is dead, as far as it can be in this process."""


def quality(trial: Trial) -> float:
    """Least at a learning rate of 1e-4."""
    rate = trial.values["train.learning_rate"]
    assert isinstance(rate, float)
    return abs(math.log10(rate) + 4)


def complete(trial: Trial) -> Outcome:
    return Outcome(state="complete", seconds=1.0, value=quality(trial), figures={"loss": quality(trial)})


def search(plan: Plan, folder: Path, run: Runner = complete) -> tuple[list[TrialRecord], list[str]]:
    with open_study(folder, plan.settings.tune, make_space(plan)) as study:
        said = study.take_up()
        study.run(run)
        return study.records(), said


def values(records: list[TrialRecord]) -> list[dict[str, object]]:
    return [dict(record.values) for record in records]


def test_the_first_trial_is_the_config_as_it_stands_and_the_search_beats_it(
    make_tuned_plan: PlanMaker, tmp_path: Path
) -> None:
    plan = make_tuned_plan(RATE, BATCH, "tune.trials=15", SEED)
    records, said = search(plan, tmp_path / "a")
    assert said == [] and [record.number for record in records] == list(range(15))
    assert records[0].values == {"train.learning_rate": 1e-3, "train.global_batch": 16}
    assert all(record.values["train.global_batch"] in (16, 32, 48) for record in records)
    best = best_of(records, plan.settings.tune)
    assert best is not None and best.outcome.value is not None and best.outcome.value < 0.3
    assert ranked(records, plan.settings.tune)[0] == best
    again, _ = search(plan, tmp_path / "b")
    assert values(again) == values(records), "the seed tells all"


def test_a_study_that_is_there_runs_only_what_is_missing(make_tuned_plan: PlanMaker, tmp_path: Path) -> None:
    records, _ = search(make_tuned_plan(RATE, "tune.trials=3", SEED), tmp_path / "a")
    more, said = search(make_tuned_plan(RATE, "tune.trials=5", SEED), tmp_path / "a")
    assert said == [] and more[:3] == records and len(more) == 5
    never: Runner = lambda _trial: pytest.fail("a trial was run")  # noqa: E731
    assert search(make_tuned_plan(RATE, "tune.trials=2", SEED), tmp_path / "a", never)[0] == more


def test_a_killed_search_takes_up_the_trial_that_ran_and_asks_what_it_would_have_asked(
    make_tuned_plan: PlanMaker, tmp_path: Path
) -> None:
    plan = make_tuned_plan(RATE, BATCH, "tune.trials=6", SEED)
    straight, _ = search(plan, tmp_path / "straight")
    for dies_at in (0, 2, 2, 4):

        def die(trial: Trial, dies_at: int = dies_at) -> Outcome:
            if trial.number == dies_at:
                trial.note("made", True)
                raise Killed
            return complete(trial)

        with pytest.raises(Killed):
            search(plan, tmp_path / "killed", die)
    journal = tmp_path / "killed" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 4, "wor')
    Path(f"{journal}.lock").symlink_to("nowhere")
    seen: list[Trial] = []

    def note_all(trial: Trial) -> Outcome:
        seen.append(trial)
        return complete(trial)

    records, said = search(plan, tmp_path / "killed", note_all)
    assert said == ["trial 4 interrupted, and is taken up again"]
    assert [trial.number for trial in seen] == [4, 5] and seen[0].notes["made"] is True
    assert values(records) == values(straight)


def test_a_kill_before_a_trial_has_its_number_loses_nothing(make_tuned_plan: PlanMaker, tmp_path: Path) -> None:
    plan = make_tuned_plan(RATE, "tune.trials=3", SEED)
    straight, _ = search(plan, tmp_path / "straight")
    with open_study(tmp_path / "killed", plan.settings.tune, make_space(plan)) as study:
        study.take_up()
        study._study.ask()
        study._study.ask()
    records, said = search(plan, tmp_path / "killed")
    assert len(said) == 2 and values(records)[0] == values(straight)[0] and len(records) == 3


def test_a_failed_trial_does_not_end_the_study_and_is_not_tried_again(
    make_tuned_plan: PlanMaker, tmp_path: Path
) -> None:
    plan = make_tuned_plan(RATE, "tune.trials=4", SEED)
    broken: Runner = lambda trial: (  # noqa: E731
        Outcome(state="failed", seconds=2.0, error="found loss nan") if trial.number in (0, 2) else complete(trial)
    )
    records, _ = search(plan, tmp_path / "a", broken)
    assert [record.outcome.state for record in records] == ["failed", "complete", "failed", "complete"]
    assert records[2].outcome.error == "found loss nan" and records[2].outcome.value is None
    assert search(plan, tmp_path / "a")[0] == records
    assert [record.number for record in ranked(records, plan.settings.tune)[-2:]] == [0, 2]


def test_where_all_trials_failed_they_are_tried_again(make_tuned_plan: PlanMaker, tmp_path: Path) -> None:
    plan = make_tuned_plan(RATE, "tune.trials=2", SEED)
    records, _ = search(plan, tmp_path / "a", lambda _: Outcome(state="failed", seconds=1.0, error="no launcher"))
    assert best_of(records, plan.settings.tune) is None
    again, said = search(plan, tmp_path / "a")
    assert len(said) == 2 and [record.outcome.state for record in again] == ["complete"] * 2
    assert values(again) == values(records)


def test_a_trial_worse_than_the_median_is_to_be_ended_after_the_first_ones(
    make_tuned_plan: PlanMaker, tmp_path: Path
) -> None:
    def run(trial: Trial) -> Outcome:
        loss = 2.0 if trial.number in (1, 4) else 1.0
        asked = [trial.report(percent, loss) for percent in (10, 50)]
        assert not asked[0], "the learning rate still rises"
        return Outcome(state="pruned", seconds=1.0) if asked[1] else complete(trial)

    words = (RATE, "tune.trials=6", "tune.startup_trials=3", SEED)
    records, _ = search(make_tuned_plan(*words), tmp_path / "a", run)
    states = ["complete"] * 4 + ["pruned", "complete"]
    assert [record.outcome.state for record in records] == states
    assert records[4].notes["intermediate"] == {10: 2.0, 50: 2.0}
    records, _ = search(make_tuned_plan(*words, "tune.pruning=false"), tmp_path / "b", run)
    assert {record.outcome.state for record in records} == {"complete"}


def test_settings_outside_of_the_space_are_tried_as_they_stand(make_tuned_plan: PlanMaker, tmp_path: Path) -> None:
    rate = "tune.space.train.learning_rate={low: 1.0e-5, high: 1.0e-4}"
    wire = "tune.space.train.wire={choices: [fp16]}"
    records, _ = search(make_tuned_plan(rate, wire, BATCH, "tune.trials=4", SEED), tmp_path / "a")
    assert records[0].values == {"train.learning_rate": 1e-3, "train.wire": "fp32", "train.global_batch": 16}
    assert all(record.values["train.wire"] == "fp16" for record in records[1:])


def test_importances_tell_the_setting_that_matters(make_tuned_plan: PlanMaker, tmp_path: Path) -> None:
    plan = make_tuned_plan(RATE, BATCH, "tune.trials=20", SEED)
    with open_study(tmp_path / "a", plan.settings.tune, make_space(plan)) as study:
        assert study.importances() == {}
        study.take_up()
        study.run(complete)
        found = study.importances()
    assert found["train.learning_rate"] > found["train.global_batch"]


def test_two_searches_of_one_study_are_refused(make_tuned_plan: PlanMaker, tmp_path: Path) -> None:
    plan = make_tuned_plan(RATE)
    with (
        open_study(tmp_path / "a", plan.settings.tune, make_space(plan)),
        pytest.raises(StageError, match="another `mapring tune` works on this study"),
        open_study(tmp_path / "a", plan.settings.tune, make_space(plan)),
    ):
        pass
