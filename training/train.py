"""Train a model on published shards and publish it: `python -m training.train --config C [KEY=VALUE ...]`.

Run it under `horovodrun -np N` (Gloo), `mpirun -np N` (MPI), `torchrun --nproc-per-node N`
(torch.distributed), or alone. A training that was interrupted goes on from its last checkpoint.
"""

from __future__ import annotations

from training.huge_pages import begin_with_huge_pages

if __name__ == "__main__":
    begin_with_huge_pages()

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from mapring import contract
from mapring.errors import MapringError
from mapring.figure_names import FIGURE_NAMES
from mapring.plan import Plan, make_plan
from mapring.progress import say, seconds_text
from training.baselines import baselines, best_of
from training.bert_like import restore_forwards
from training.checkpoint import Cursor
from training.compression.before_after import before_and_after, evaluate_before
from training.export import publish_model
from training.forgetting import figures_on, forgetting, told
from training.loop import StopRequest, Training, end_if_asked, run_training, take_best
from training.methods import finished_model
from training.mistakes import Mistake, WorstMistakes
from training.older_shards import open_older
from training.preparation import prepare
from training.reference import reference_distribution
from training.ring import Ring, RingError, first_rank_only, is_elastic, open_ring
from training.ring.interface import AgreedError, RegroupError
from training.robustness import robustness
from training.tasks.interface import OnOutput
from training.tracking import Tracker, tracked

_TOLD = {  # figures of the closing line
    key: FIGURE_NAMES[key]
    for key in (
        "accuracy",
        "subset_accuracy",
        "macro_f1",
        "ndcg_at_10",
        "r2",
        "spearman",
        "mean_reciprocal_rank",
        "recall_at_10",
        "perplexity",
    )
}


_MOST_BROKEN_RINGS = 5  # one after the other, while they form; whoever leaves then has a reason that does not go away


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one rank; the exit code. Errors for users are one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__.partition("\n")[0])
    parser.add_argument("--config", required=True, help="YAML file of the pipeline, path or URI")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings that replace those of the file")
    parsed = parser.parse_args(arguments)
    ring: Ring | None = None
    try:
        stop = StopRequest()
        plan = make_plan(parsed.config, parsed.overrides)
        is_done, failed = False, 0
        while not is_done:
            try:
                ring = open_ring(plan.settings.ring)
            except RingError as error:
                failed += 1
                if not is_elastic() or failed == _MOST_BROKEN_RINGS:
                    raise
                say("train", f"a new ring broke while it formed, waiting for another one: {error}")
                continue
            failed = 0
            is_done = _train_in(ring, plan, stop)
    except MapringError as error:
        if ring is None or ring.rank == 0 or not isinstance(error, AgreedError):
            sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _train_in(ring: Ring, plan: Plan, stop: StopRequest) -> bool:
    """Train to the end; False where this ring ended before and the launcher forms another one.

    All ranks of the next ring, old and new, begin alike, and take up the newest checkpoint: what is done twice are the
    steps since then where a rank was lost, and none where ranks came or were let go.
    """
    try:
        train(plan, ring, stop)
    except (RingError, RegroupError) as error:
        if not ring.elastic:
            raise
        if ring.rank == 0 or isinstance(error, RingError):
            say("train", f"rank {ring.rank} of {ring.size} waits for a new ring: {error}")
        ring.shutdown()
        return False
    return True


def train(plan: Plan, ring: Ring, stop: StopRequest) -> None:
    """Train and publish the model of a plan, unless it is published already.

    Raises:
        StageError: the shards are missing or have no labels, a loss is not finite, or another rank ended.
        SettingsError: model, tokenizer, lengths or lanes do not fit each other.
        StoppedError: SIGTERM was received.
    """
    if first_rank_only(ring, lambda: contract.is_published(plan.model_directory)):
        _say(ring, f"model {plan.model} is already published at {plan.model_directory}")
        ring.shutdown()
        return
    with tracked(plan, ring) as trackers:
        _train(plan, ring, stop, trackers)


def _train(plan: Plan, ring: Ring, stop: StopRequest, trackers: Sequence[Tracker]) -> None:
    training, cursor = prepare(plan, ring)
    cursor = run_training(training, cursor, stop, trackers)
    end_if_asked(ring, stop)
    if plan.settings.train.patience:
        take_best(training, cursor)
    training = replace(training, model=finished_model(training.model))
    training.task.finish(training.model)
    outputs: list[torch.Tensor] = []  # of this rank's rows of the test split, which are looked at twice
    evaluation, before = _evaluate(training, cursor, outputs.append), evaluate_before(training)
    end_if_asked(ring, stop)
    temperature = evaluation["test"].get("temperature") or 1.0  # what scoring divides by
    wrong = WorstMistakes(training.task, temperature, plan.settings.train.worst_mistakes)
    reference = reference_distribution(
        training.task, training.model, ring, plan.shards_directory, temperature, wrong, outputs
    )
    worst = wrong.over_ring(ring)
    end_if_asked(ring, stop)
    stop.end_at_once()
    restore_forwards(training.model)
    training.model.to("cpu")  # exports and golden rows are made there
    ring.shutdown()  # what follows is rank 0's alone and may take longer than a silent ring is allowed to
    for tracker in trackers:
        tracker.conclude(cursor.best_step or cursor.step, _numbers(evaluation["test"]))
    if ring.rank == 0:
        if before is not None:
            evaluation["compression"] = before_and_after(training, before, evaluation["test"])
        _finish(training, cursor, evaluation, reference, worst)


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    """Those of some figures that are single numbers."""
    return {name: float(value) for name, value in figures.items() if type(value) in (int, float)}


def _evaluate(training: Training, cursor: Cursor, on_output: OnOutput) -> dict[str, dict[str, Any]]:
    """Figures of the validation split, of the test split at the temperature that fits it, and of older shards.

    `on_output` is told what the model gives for the test split.
    """
    task, shards = training.task, training.plan.shards_directory
    validation = task.evaluate(training.model, training.ring, shards, "validation")
    temperature = validation.get("temperature") or 1.0
    found = {
        "validation": validation,
        "test": task.evaluate(training.model, training.ring, shards, "test", temperature, on_output),
    }
    if training.plan.settings.train.robustness:
        seed = training.plan.settings.seed
        found["robustness"] = robustness(task, training.model, training.ring, shards, seed=seed)
    older = open_older(training.plan, task)
    if older is not None and cursor.older_before is not None:
        after = figures_on(older, task, training.model, training.ring)
        found["forgetting"] = forgetting(older, cursor.older_before, after)
    return found


def _finish(
    training: Training,
    cursor: Cursor,
    evaluation: dict[str, Any],
    reference: dict[str, Any] | None,
    worst: Sequence[Mistake],
) -> None:
    plan = training.plan
    wanted = plan.settings.train.baselines
    found = baselines(training.task, training.model, plan.shards_directory) if wanted else {}
    publish_model(training, cursor, {**evaluation, "baselines": found}, reference, worst)
    test = evaluation["test"]
    figures = [f"{name} {test[key]:.3f}" for key, name in _TOLD.items() if test.get(key) is not None]
    quality = f"{', '.join(figures)}{best_of(found)} on {test['rows']:,} test rows" if figures else "no test rows"
    quality += told(evaluation["forgetting"], _TOLD) if "forgetting" in evaluation else ""
    say(
        "train",
        f"{quality}; {cursor.rows / cursor.seconds:.0f} samples/s over "
        f"{seconds_text(cursor.seconds)}; model {plan.model} published at {plan.model_directory}",
    )


def _say(ring: Ring, message: str) -> None:
    if ring.rank == 0:
        say("train", message)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Leave without exit handlers: after an error those of a ring would wait for ranks that may be gone, and
    # after success torch's Gloo threads were seen to abort the process on its way out.
    os._exit(code)
