"""Early stopping: agreed, resumable, independent of how often a training is stored, and the best model published."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mapring import contract
from mapring.errors import StageError
from mapring.plan import Plan
from tests.training.conftest import PlanMaker
from tests.training.running import NoStop, fit, metrics, prepare, weights
from tests.training.shards import split_of
from tests.training.thread_ring import ThreadRing, run_ranks
from tests.training.tiny_plan import made_documents
from training import preparation
from training import train as trainer
from training.checkpoint import Cursor
from training.early_stopping import after_evaluation, is_counted, is_out_of_patience
from training.loop import StoppedError, take_best
from training.ring.interface import AgreedError
from training.tasks import open_task
from training.tasks.classification import Classification

WORDS = ("train.patience=2", "train.patience_steps=2", "train.epochs=2")
DENT = {2: 0.9, 4: 0.7, 6: 0.5, 8: 0.5, 10: 0.6, 12: 0.1}  # the least at 6; 8 and 10 are no gain
Dented = Callable[[dict[int, float]], None]


@pytest.fixture
def dented(monkeypatch: pytest.MonkeyPatch) -> Dented:
    """Have validation losses by the optimizer's own count of steps; those of other steps are very low."""

    def set_losses(losses: dict[int, float]) -> None:
        monkeypatch.setattr(
            "training.loop._validation_loss", lambda _training, cursor, _log: losses.get(cursor.step, 1e-3)
        )

    return set_losses


def test_it_ends_after_so_many_evaluations_without_a_gain(
    make_tiny_plan: PlanMaker, dented: Dented, capfd: pytest.CaptureFixture[str]
) -> None:
    dented(DENT)
    plan = make_tiny_plan(*WORDS)
    training, end = fit(plan)
    assert (end.step, end.best_step, end.least_loss, end.without_gain) == (10, 6, 0.5, 2)
    assert training.total_steps == 30
    rates = [line["learning_rate"] for line in metrics(plan)]
    assert rates[-1] == pytest.approx(5e-3 * 21 / 27)  # of the planned steps
    last = weights(training)
    take_best(training, end)
    best = weights(training)
    assert not torch.equal(best["classifier.weight"], last["classifier.weight"])
    (file,) = Path(plan.training_directory, "checkpoints", "step-00000006").glob("model-*")
    assert all(torch.equal(best[name], tensor) for name, tensor in load_file(file).items())
    assert "stopped early, 2 evaluations without a gain, after step 10 of 30" in capfd.readouterr().err
    again, resumed = fit(plan)  # as after a kill behind the last checkpoint
    assert resumed.step == 10 and len(metrics(plan)) == 10
    take_best(again, resumed)
    assert torch.equal(weights(again)["classifier.weight"], best["classifier.weight"])


@pytest.mark.parametrize("after", [5, 7, 8])
def test_where_it_was_stopped_and_stored_does_not_matter(make_tiny_plan: PlanMaker, dented: Dented, after: int) -> None:
    dented(DENT)
    words = (*WORDS, "train.evaluate_checkpoints=true")
    root = make_tiny_plan().run.root
    straight_plan = make_tiny_plan(*WORDS, f"run_dir={root}-straight")
    straight, end = fit(straight_plan)
    plan = make_tiny_plan(*words, "train.checkpoint_every_steps=1", "train.keep_checkpoints=1")
    assert plan.model == straight_plan.model
    with pytest.raises(StoppedError):
        fit(plan, stop=NoStop(after_step=after))
    resumed, resumed_end = fit(plan)
    assert (resumed_end.step, resumed_end.best_step, resumed_end.least_loss) == (10, 6, 0.5)
    for training, cursor in ((straight, end), (resumed, resumed_end)):
        take_best(training, cursor)
    assert all(torch.equal(tensor, weights(resumed)[name]) for name, tensor in weights(straight).items())


def test_ranks_end_together(make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch, dented: Dented) -> None:
    dented(DENT)
    plan = make_tiny_plan(*WORDS)
    built = preparation.build_trainable(plan, open_task(plan), 30)
    monkeypatch.setattr(preparation, "build_trainable", lambda *_: copy.deepcopy(built))

    def work(ring: ThreadRing) -> tuple[Cursor, dict[str, torch.Tensor]]:
        torch.set_num_threads(1)
        training, end = fit(plan, ring)
        take_best(training, end)
        return end, weights(training)

    (first, own), (second, other) = run_ranks(2, work)
    assert first.step == second.step == 10
    assert all(torch.equal(tensor, other[name]) for name, tensor in own.items())


@pytest.mark.parametrize("is_early", [True, False])
def test_the_model_of_the_least_loss_is_published(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch, is_early: bool
) -> None:
    whole, steps = Classification.evaluate, []

    def evaluate(*arguments: Any) -> dict[str, Any]:
        steps.append(2 * len(steps) + 2)
        loss = 0.5 if steps[-1] == 6 else 1.0
        return {**whole(*arguments), "loss": loss}

    monkeypatch.setattr(Classification, "evaluate", evaluate)
    monkeypatch.setattr("training.export.export_onnx", lambda *_: b"onnx")  # takes seconds, and is not asked about
    plan = make_tiny_plan("train.patience=" + ("2" if is_early else "50"), "train.patience_steps=2")
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 0
    details = contract.read_manifest(plan.model_directory).details
    assert (details["steps"], details["stopped_at_step"]) == (6, 10 if is_early else 15)
    published = load_file(Path(plan.model_directory, details["transformers"], "model.safetensors"))
    (file,) = Path(plan.training_directory, "checkpoints", "step-00000006").glob("model-*")
    best = load_file(file)
    assert all(torch.equal(best[name], tensor) for name, tensor in published.items())


def test_a_best_checkpoint_that_is_damaged_is_told(make_tiny_plan: PlanMaker, dented: Dented) -> None:
    dented(DENT)
    plan = make_tiny_plan(*WORDS)
    training, end = fit(plan)
    (file,) = Path(plan.training_directory, "checkpoints", "step-00000006").glob("model-*")
    file.write_bytes(b"")
    with pytest.raises((AgreedError, StageError), match="found no sound checkpoint"):
        take_best(training, end)


def test_patience_without_validation_rows_is_refused(make_tiny_plan: PlanMaker) -> None:
    splits = {**split_of(made_documents(330), 0.15), "validation": []}
    plan = make_tiny_plan(*WORDS, documents=splits)  # type: ignore[arg-type]
    with pytest.raises(AgreedError, match="no validation row"):
        prepare(plan)  # not behind the first steps, which would be lost


def test_what_counts(make_tiny_plan: PlanMaker) -> None:
    plan: Plan = make_tiny_plan(*WORDS, shards=False)
    settings = plan.settings.train
    assert [step for step in range(1, 8) if is_counted(settings, step, 7)] == [2, 4, 6, 7]
    cursor = Cursor(step=2, epoch=0, precision="fp32", world_size=1, loss=0.0, rows=0, tokens=0, seconds=0.0)
    cursor = after_evaluation(after_evaluation(cursor, 0.5), 0.5)
    assert (cursor.without_gain, cursor.best_step) == (1, 2)
    assert not is_out_of_patience(settings, cursor)
    assert is_out_of_patience(settings, after_evaluation(cursor, 0.6))
    assert after_evaluation(cursor, 0.4).without_gain == 0
    unset = make_tiny_plan(shards=False).settings.train
    assert not is_counted(unset, 2, 7) and not is_out_of_patience(unset, cursor)
