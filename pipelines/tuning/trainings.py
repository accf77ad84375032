"""A trial is a training as `mapring train` starts it, with its values as overrides."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from mapring import storage
from mapring.contract import is_published, read_manifest
from mapring.errors import SettingsError, StageError
from mapring.plan import Plan, make_plan
from mapring.progress import say, seconds_text
from pipelines.launch import run_stage
from pipelines.tuning.leftovers import end_leftovers
from pipelines.tuning.space import override_words, trial_words
from pipelines.tuning.study import Outcome, Trial
from pipelines.tuning.watching import Watcher

_STOPPED = "stopped as asked"  # what a trainer says that has received SIGTERM


class Trainings:
    """Runs the trials of one search and tells of each.

    Args:
        plan: of the settings as they stand.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._tune = plan, plan.settings.tune

    def __call__(self, trial: Trial) -> Outcome:
        """Run a trial to its end.

        Raises:
            StageError: its training was told to stop by somebody else.
            SettingsError: the model has no such figure as `tune.metric`.
        """
        told = ", ".join(override_words(trial.values))
        say("tune", f"trial {trial.number} of {self._tune.trials}: {told}" + " (as it stands)" * (trial.number == 0))
        start = time.monotonic()
        try:
            outcome = self._run(trial, start)
        except SettingsError as error:
            outcome = self._failed(str(error), start)
        say("tune", f"trial {trial.number}: {self._what_came(outcome)} in {seconds_text(outcome.seconds)}")
        return outcome

    def _run(self, trial: Trial, start: float) -> Outcome:
        words = trial_words(trial.values, watched=self._tune.pruning)
        plan = make_plan(self._plan.config, [*self._plan.overrides, *words])
        if "made" not in trial.notes:  # else what is there is of the same trial, interrupted
            trial.note("model", plan.model)
            checkpoints = storage.join(plan.training_directory, "checkpoints")
            trial.note("made", not is_published(plan.model_directory) and not storage.exists(checkpoints))
        if end_leftovers(plan.config, plan.overrides):
            say("tune", f"trial {trial.number}: its training still ran without a search, and has been ended")
        if not is_published(plan.model_directory):
            watcher = Watcher(plan.training_directory, self._tune.metric, trial.report)
            if self._tune.pruning and watcher.look():  # known before an interruption
                return self._pruned(watcher, start)
            try:
                run_stage("train", plan, watcher.start if self._tune.pruning else lambda _process_id: None)
            except (SettingsError, StageError) as error:
                watcher.close()
                if watcher.ended_at is not None:
                    return self._pruned(watcher, start)
                if _STOPPED in str(error):
                    raise StageError(f"tune: trial {trial.number} was stopped: {error}") from None
                return self._failed(str(error), start)
            finally:
                watcher.close()
        return self._complete(plan, start)

    def _complete(self, plan: Plan, start: float) -> Outcome:
        found: Mapping[str, Any] = read_manifest(plan.model_directory).details["evaluation"]["validation"]
        figures = {name: value for name, value in found.items() if _is_number(value)}
        value = figures.get(self._tune.metric)
        if value is None:
            raise UnknownMetricError(
                f"{plan.config}: tune.metric: found {self._tune.metric!r}, which models have not; "
                f"expected one of: {', '.join(sorted(figures))}"
            )
        seconds = time.monotonic() - start
        if not math.isfinite(value):
            return Outcome(state="failed", seconds=seconds, error=f"found {self._tune.metric} {value}")
        return Outcome(state="complete", value=float(value), figures=figures, seconds=seconds)

    def _pruned(self, watcher: Watcher, start: float) -> Outcome:
        note = f"ended at {watcher.ended_at} %, worse than the median there"
        return Outcome(state="pruned", seconds=time.monotonic() - start, error=note)

    def _failed(self, error: str, start: float) -> Outcome:
        return Outcome(state="failed", seconds=time.monotonic() - start, error=error)

    def _what_came(self, outcome: Outcome) -> str:
        if outcome.value is not None:
            return f"{self._tune.metric} {outcome.value:.4f}"
        return f"{outcome.state}: {(outcome.error or '').splitlines()[0]}"


class UnknownMetricError(StageError):
    """No model has the figure that was asked for, so that no further trial could be judged."""

    exit_code = SettingsError.exit_code


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
