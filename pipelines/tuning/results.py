"""What a search leaves: best.yaml, trials.json, a table, and no models that lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from mapring import storage
from mapring.errors import StageError
from mapring.plan import Plan
from mapring.progress import say, seconds_text
from mapring.scores.table import read_table
from pipelines.tables import PlainTable
from pipelines.tuning.config_text import config_with
from pipelines.tuning.space import trial_words, value_text
from pipelines.tuning.study import TrialRecord, best_of, ranked


def write_results(
    plan: Plan, directory: str, records: list[TrialRecord], importances: Mapping[str, float]
) -> TrialRecord:
    """Write `best.yaml` and `trials.json` below a directory, print the table, remove the models that lost.

    Returns the best trial.

    Raises:
        StageError: no trial has a value.
    """
    tune = plan.settings.tune
    _write_trials(plan, directory, records, importances)
    best = best_of(records, tune)
    if best is None:
        first = next((record.outcome.error or "" for record in records if record.outcome.state == "failed"), "")
        raise StageError(
            f"tune: all {len(records)} trials failed, of which the first: {first.splitlines()[0] if first else ''}\n"
            "Mend the cause and run the same command again, which tries them again. "
            f"What each of them said: {directory}/trials.json"
        )
    text = config_with(plan.config, [*plan.overrides, *trial_words(best.values, watched=False)], _comment(plan, best))
    storage.replace(storage.join(directory, "best.yaml"), text.encode())
    if not tune.keep_models:
        _remove_losers(plan, records, best)
    _print_table(plan, records, importances)
    say("tune", f"{_gain_text(plan, records, best)}; run it: mapring run {directory}/best.yaml")
    return best


def gain(records: Sequence[TrialRecord], best: TrialRecord, direction: str) -> float | None:
    """How much better the best is than the settings as they stand; None where those have no value."""
    first = records[0].outcome.value if records and records[0].number == 0 else None
    if first is None or best.outcome.value is None:
        return None
    return first - best.outcome.value if direction == "minimize" else best.outcome.value - first


def _write_trials(plan: Plan, directory: str, records: list[TrialRecord], importances: Mapping[str, float]) -> None:
    tune, best = plan.settings.tune, best_of(records, plan.settings.tune)
    content = {
        "config": plan.config,
        "overrides": list(plan.overrides),
        "shards": plan.shards,
        "metric": tune.metric,
        "direction": tune.direction,
        "best": None if best is None else best.number,
        "gain_over_defaults": None if best is None else gain(records, best, tune.direction),
        "importances": dict(importances),
        "trials": [_trial_json(record) for record in records],
    }
    storage.replace(storage.join(directory, "trials.json"), json.dumps(content, indent=2).encode() + b"\n")


def _trial_json(record: TrialRecord) -> dict[str, Any]:
    outcome = record.outcome
    return {
        "trial": record.number,
        "state": outcome.state,
        "values": dict(record.values),
        "value": outcome.value,
        "figures": dict(outcome.figures),
        "intermediate": {str(percent): value for percent, value in record.notes["intermediate"].items()},
        "seconds": outcome.seconds,
        "model": record.notes.get("model"),
        "error": outcome.error,
    }


def _comment(plan: Plan, best: TrialRecord) -> str:
    return (
        f"The best of `mapring tune {plan.config}`, trial {best.number}: validation {plan.settings.tune.metric} "
        f"{best.outcome.value:.4f}.\nIts model {best.notes['model']} is published; "
        "with train.baselines=true it is trained again."
    )


def _remove_losers(plan: Plan, records: list[TrialRecord], best: TrialRecord) -> None:
    """Remove models and checkpoints that this search has made; what others made, or scores rest on, stays."""
    table = read_table(plan.run.scores)
    kept = {best.notes["model"], plan.model, *(table.models if table is not None else ())}
    kept |= {record.notes.get("model") for record in records if record.number == 0}
    removed = 0
    for record in records:
        model = record.notes.get("model")
        if model is None or model in kept or not record.notes.get("made"):
            continue
        checkpoints = storage.join(plan.run.training(model), "checkpoints")
        removed += storage.exists(checkpoints)
        for directory in (plan.run.model(model), checkpoints):  # the curves stay: they are small, and tell why
            storage.remove_tree(directory)
    if removed:
        say("tune", f"removed models and checkpoints of {removed} trials that lost; tune.keep_models=true keeps them")


def _print_table(plan: Plan, records: list[TrialRecord], importances: Mapping[str, float]) -> None:
    tune = plan.settings.tune
    table = PlainTable(f"{plan.settings.name}: trials on the validation split, best first")
    names = [name.removeprefix("train.") for name in tune.space]
    for heading in ("trial", tune.metric, *names, "time", "model"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "model")
    for record in ranked(records, tune):
        value = record.outcome.value
        table.add_row(
            f"{record.number}" + ", as it stands" * (record.number == 0),
            record.outcome.state if value is None else f"{value:.4f}",
            *(_short(record.values[name]) for name in tune.space),
            seconds_text(record.outcome.seconds),
            record.notes.get("model", ""),
        )
    if importances:
        table.add_section()
        table.add_row("importance", "", *(f"{importances.get(name, 0):.2f}" for name in tune.space), "", "")
    Console().print(table)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else value_text(value)


def _gain_text(plan: Plan, records: list[TrialRecord], best: TrialRecord) -> str:
    tune = plan.settings.tune
    found = gain(records, best, tune.direction)
    text = f"best: trial {best.number}, validation {tune.metric} {best.outcome.value:.4f}"
    if found is None:
        return f"{text}; the settings as they stand failed"
    if best.number == 0:
        return f"{text}, the settings as they stand"
    return f"{text}, {found:.4f} better than the settings as they stand"
