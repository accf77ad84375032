"""Search for hyperparameters: trainings with other settings, the best of which becomes a config."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from mapring import storage
from mapring.contract import canonical_json, read_manifest
from mapring.errors import StageError
from mapring.plan import Plan, make_plan
from mapring.progress import say
from pipelines.launch import run_stage
from pipelines.tuning.results import write_results
from pipelines.tuning.space import make_space, trial_words
from pipelines.tuning.study import open_study
from pipelines.tuning.trainings import Trainings


def tune(config: str, overrides: Sequence[str]) -> None:
    """Run the trials that are missing, then write and print what was found.

    Raises:
        SettingsError: the space, or something that it leads to, is wrong; nothing was started.
        StageError: preprocessing or all trials failed, or another search works on the same study.
    """
    plan = make_plan(config, overrides)
    space = make_space(plan)
    run_stage("preprocess", plan)
    _check_validation(plan)
    fingerprint = study_fingerprint(plan)
    with open_study(_folder(plan, fingerprint), plan.settings.tune, space) as study:
        directory = storage.join(plan.run.root, "tuning", fingerprint)
        say("tune", f"study {fingerprint}: {plan.settings.tune.trials} trials of {', '.join(space.ranges)}")
        for found in study.take_up():
            say("tune", found)
        study.run(Trainings(plan))
        write_results(plan, directory, study.records(), study.importances())


def study_fingerprint(plan: Plan) -> str:
    """What a study is of: space, its seed and metric, the settings as they stand, the shards (16 hex digits)."""
    settings = plan.settings.tune
    first = make_plan(plan.config, [*plan.overrides, *trial_words({}, watched=False)])
    content = {
        "model": first.model,  # shards, settings and seed of the training are in it
        "space": {name: candidates.model_dump(mode="json") for name, candidates in settings.space.items()},
        "metric": settings.metric,
        "seed": settings.seed,
    }
    return hashlib.sha256(canonical_json(content)).hexdigest()[:16]


def _check_validation(plan: Plan) -> None:
    splits = read_manifest(plan.shards_directory).details["splits"]
    if not splits.get("validation", {}).get("rows"):
        raise StageError(
            f"{plan.shards_directory}: found no validation rows, by which trials are judged; "
            "set preprocess.splits.validation above 0"
        )


def _folder(plan: Plan, fingerprint: str) -> Path:
    """Where the study is kept while it runs: below the run directory when that is local, else below `.mapring` here."""
    local = storage.local_path(plan.run.root)
    return (local if local is not None else Path(".mapring")) / "tuning" / fingerprint
