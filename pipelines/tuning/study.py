"""The study: which values are tried next, what came of those before, and how a killed search goes on.

Optuna keeps it in a journal, a text file to which each change is appended and synced. A kill can cut its last line
only, which is dropped here; there is no database layer whose versions would have to be migrated, and no lock of SQLite,
which network file systems do not keep.

Optuna's own numbers go on with every start of a trial. What is counted here is the attribute `trial`: a trial that was
interrupted and taken up again is one, and its newest entry counts.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from mapring.errors import StageError
from mapring.settings.tune import Tune
from pipelines.tuning.space import Choices, Range, Space, Value

_NAME = "tune"
_JOURNAL = "journal.jsonl"
_WARM_UP_PERCENT = 20  # of a training, in which none is ended: the learning rate still rises
_MAXIMUM_SEED = 2**32
_TRIAL, _DEFAULTS, _OUTCOME = "trial", "defaults", "outcome"  # attributes of Optuna's trials

State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a trial: its `value` of the metric, all its validation `figures`, and the wall time in `seconds`."""

    state: State
    seconds: float
    value: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial that is to be run: its `number` from 0, its `values` by the names of the settings.

    `report` takes how much of the training is done in percent, and the metric there; it tells whether to end it.
    `notes` are what `note` has written for it, also before an interruption.
    """

    number: int
    values: Mapping[str, Value]
    report: Callable[[int, float], bool]
    notes: Mapping[str, Any]
    note: Callable[[str, Any], None]


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A trial that has ended; `notes` are what was noted of it."""

    number: int
    values: Mapping[str, Value]
    outcome: Outcome
    notes: Mapping[str, Any]


class Study:
    """The study of one folder; open it with `open_study`, which sees that nobody else does."""

    def __init__(self, folder: Path, tune: Tune, space: Space) -> None:
        self._tune, self._space = tune, space
        self._distributions = {name: _distribution(kind) for name, kind in space.ranges.items()}
        self._study = optuna.create_study(
            study_name=_NAME,
            storage=JournalStorage(JournalFileBackend(str(folder / _JOURNAL))),
            direction=tune.direction,
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=tune.startup_trials, n_warmup_steps=_WARM_UP_PERCENT),
        )

    def take_up(self) -> list[str]:
        """Enqueue what a killed search left: the trial that ran, and where none succeeded the failed ones, once more.

        A new study begins with the settings as they stand. Returns what was found, in words.
        """
        newest = self._newest()
        if not newest:
            inside = {name: value for name, value in self._space.defaults.items() if self._holds(name, value)}
            self._study.enqueue_trial(inside, user_attrs={_TRIAL: 0, _DEFAULTS: True})
            return []
        said = []
        for found in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            number = found.user_attrs.get(_TRIAL)
            if number is None or newest[number].state is not TrialState.WAITING:  # else enqueued before the last kill
                self._enqueue_again(found)
            self._study.tell(found.number, state=TrialState.FAIL)
            said.append(f"trial {'that was' if number is None else number} interrupted, and is taken up again")
        ended = [found.state for found in newest.values()]
        if TrialState.COMPLETE not in ended:
            for found in newest.values():
                if found.state is TrialState.FAIL and _OUTCOME in found.user_attrs:
                    self._enqueue_again(found)
                    said.append(f"trial {found.user_attrs[_TRIAL]} failed as all did, and is tried again")
        return said

    def _enqueue_again(self, found: FrozenTrial) -> None:
        kept = {name: value for name, value in found.user_attrs.items() if name != _OUTCOME}
        known = {**found.system_attrs.get("fixed_params", {}), **found.params}  # of one killed before it had its values
        self._study.enqueue_trial(known, user_attrs=kept)

    def run(self, run_trial: Callable[[Trial], Outcome]) -> None:
        """Run trials, one after the other, until there are as many as are asked for."""
        while True:
            newest = self._newest()
            is_waiting = any(found.state is TrialState.WAITING for found in newest.values())
            if not is_waiting and len(newest) >= self._tune.trials:
                return
            self._study.sampler = optuna.samplers.TPESampler(
                seed=self._seed(len(newest)), n_startup_trials=self._tune.startup_trials
            )
            asked = self._study.ask()
            if _TRIAL not in asked.user_attrs:
                asked.set_user_attr(_TRIAL, len(newest))
            outcome = run_trial(self._trial(asked))
            asked.set_user_attr(
                _OUTCOME,
                {"figures": dict(outcome.figures), "seconds": round(outcome.seconds, 3), "error": outcome.error},
            )
            state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
            self._study.tell(asked, outcome.value if outcome.state == "complete" else None, state[outcome.state])

    def records(self) -> list[TrialRecord]:
        """All trials that have ended, by their numbers."""
        newest = self._newest()
        return [self._record(newest[number]) for number in sorted(newest) if _OUTCOME in newest[number].user_attrs]

    def importances(self) -> dict[str, float]:
        """How much each setting matters for the metric, from 0 to 1; empty where too little is known to tell."""
        whole = [
            found
            for found in self._newest().values()
            if found.state is TrialState.COMPLETE and found.params.keys() == self._distributions.keys()
        ]
        if len(whole) < self._tune.startup_trials or len({found.value for found in whole}) < 2:
            return {}
        known = optuna.create_study(direction=self._tune.direction)
        known.add_trials(whole)
        return optuna.importance.get_param_importances(known, evaluator=optuna.importance.PedAnovaImportanceEvaluator())

    def _newest(self) -> dict[int, FrozenTrial]:
        """The newest entry of each trial by its number; one that was killed before it had one is not among them."""
        entries = self._study.get_trials(deepcopy=False)
        return {found.user_attrs[_TRIAL]: found for found in entries if _TRIAL in found.user_attrs}

    def _trial(self, asked: optuna.Trial) -> Trial:
        is_defaults = bool(asked.user_attrs.get(_DEFAULTS))
        values: dict[str, Value] = {}
        for name in self._distributions:
            if is_defaults and not self._holds(name, self._space.defaults[name]):
                values[name] = self._space.defaults[name]  # outside of the space: tried, but nothing to learn from
            else:
                values[name] = self._suggest(asked, name)

        def report(percent: int, value: float) -> bool:
            asked.report(value, percent)
            return self._tune.pruning and asked.should_prune()

        asked.set_user_attr("values", values)
        notes = dict(asked.user_attrs)
        return Trial(number=notes[_TRIAL], values=values, report=report, notes=notes, note=asked.set_user_attr)

    def _suggest(self, asked: optuna.Trial, name: str) -> Value:
        kind = self._space.ranges[name]
        if isinstance(kind, Choices):
            chosen: Value = asked.suggest_categorical(name, kind.values)
            return chosen
        if kind.is_whole:
            step = int(kind.step or 1)
            return asked.suggest_int(name, int(kind.low), int(kind.high), step=step, log=kind.log)
        return asked.suggest_float(name, kind.low, kind.high, step=kind.step, log=kind.log)

    def _holds(self, name: str, value: Value) -> bool:
        distribution = self._distributions[name]
        if isinstance(distribution, CategoricalDistribution):
            return any(value == choice and type(value) is type(choice) for choice in distribution.choices)
        return isinstance(value, int | float) and distribution._contains(float(value))

    def _seed(self, number: int) -> int:
        """A seed of the trial alone, so that a search that was killed asks what it would have asked."""
        digest = hashlib.sha256(f"{self._tune.seed}/{number}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % _MAXIMUM_SEED

    def _record(self, found: FrozenTrial) -> TrialRecord:
        states: Mapping[TrialState, State] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
        noted = found.user_attrs[_OUTCOME]
        is_complete = found.state is TrialState.COMPLETE
        outcome = Outcome(
            state=states.get(found.state, "failed"),
            seconds=noted["seconds"],
            value=found.value if is_complete else None,
            figures=noted["figures"],
            error=noted["error"],
        )
        notes = {**found.user_attrs, "intermediate": dict(found.intermediate_values)}
        return TrialRecord(
            number=found.user_attrs[_TRIAL], values=found.user_attrs["values"], outcome=outcome, notes=notes
        )


def best_of(records: list[TrialRecord], tune: Tune) -> TrialRecord | None:
    """The complete trial of the best value, the earliest of equal ones."""
    return next((record for record in ranked(records, tune) if record.outcome.value is not None), None)


def ranked(records: list[TrialRecord], tune: Tune) -> list[TrialRecord]:
    """Complete trials from the best on, then those without a value."""
    sign = 1 if tune.direction == "minimize" else -1

    def key(record: TrialRecord) -> tuple[bool, float, int]:
        value = record.outcome.value
        return value is None, 0.0 if value is None else sign * value, record.number

    return sorted(records, key=key)


@contextmanager
def open_study(folder: Path, tune: Tune, space: Space) -> Iterator[Study]:
    """The study of a folder, made if it is new, for this process alone.

    Raises:
        StageError: another process works on it.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what happens is told by lines of our own
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with this process, however that ends
        except BlockingIOError:
            raise StageError(
                f"{folder}: another `mapring tune` works on this study; wait for it or end it, then start again"
            ) from None
        _mend(folder)
        yield Study(folder, tune, space)


def _mend(folder: Path) -> None:
    """Remove what a kill in the middle of an append leaves: Optuna's lock, and a last line that is not whole."""
    journal = folder / _JOURNAL
    Path(f"{journal}.lock").unlink(missing_ok=True)
    if journal.exists():
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            journal.write_bytes(content[:whole])


def _distribution(kind: Range | Choices) -> BaseDistribution:
    if isinstance(kind, Choices):
        return CategoricalDistribution(kind.values)
    if kind.is_whole:
        return IntDistribution(int(kind.low), int(kind.high), log=kind.log, step=int(kind.step or 1))
    return FloatDistribution(kind.low, kind.high, log=kind.log, step=kind.step)
