"""The laws of training: resume bit for bit, any number of ranks, no silent failure, damage passed over."""

from __future__ import annotations

import copy
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from mapring.contract import is_published
from mapring.errors import StageError
from mapring.plan import Plan
from mapring.settings.ring import Ring as Settings
from tests.training.conftest import PlanMaker
from tests.training.running import NoStop, fit, metrics, moments, prepare, weights
from tests.training.thread_ring import ThreadRing, run_ranks
from training import preparation
from training import train as trainer
from training.checkpoint import Checkpoints
from training.loop import StoppedError, end_if_asked, run_training
from training.ring import RingError, interface, open_ring
from training.ring.interface import AgreedError, check_same, first_rank_only
from training.ring.single import SingleRing
from training.tasks import open_task
from training.tasks.classification import Classification


def checkpoints(plan: Plan) -> list[str]:
    return sorted(path.name for path in Path(plan.training_directory, "checkpoints").iterdir())


def test_a_stopped_and_resumed_training_is_bit_for_bit_the_straight_one(make_tiny_plan: PlanMaker) -> None:
    straight_plan = make_tiny_plan("run_dir=" + str(make_tiny_plan().run.root) + "-straight")
    straight, end = fit(straight_plan)
    plan = make_tiny_plan()
    assert straight_plan.model == plan.model
    with pytest.raises(StoppedError, match="after step 5") as stopped:
        fit(plan, stop=NoStop(after_step=5))
    assert stopped.value.exit_code == 143
    assert "step-00000005" in checkpoints(plan)
    resumed, resumed_end = fit(plan)
    assert (resumed_end.step, resumed_end.rows, resumed_end.tokens) == (end.step, end.rows, end.tokens)
    assert end.step == straight.total_steps > 6
    for name, tensor in weights(straight).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    assert all(map(torch.equal, moments(straight), moments(resumed)))
    assert [line["loss"] for line in metrics(plan)] == [line["loss"] for line in metrics(straight_plan)]
    assert [line["step"] for line in metrics(plan)] == list(range(1, end.step + 1))


def test_dropout_is_on_and_differs_between_steps(make_tiny_plan: PlanMaker) -> None:
    """Else the bit-for-bit test would say nothing about random states."""
    training, cursor = prepare(make_tiny_plan())
    batch = next(training.reader.epoch(0))
    losses = [training.stepper.step(number, batch).loss for number in (0, 0)]
    other, _ = prepare(make_tiny_plan())
    assert other.stepper.step(0, batch).loss == losses[0]
    fresh, _ = prepare(make_tiny_plan())
    assert fresh.stepper.step(1, batch).loss != losses[0]
    assert cursor.step == 0


@pytest.mark.parametrize("size", [2, 3])
def test_any_number_of_ranks_trains_the_same_model(
    make_tiny_plan: PlanMaker,
    tmp_path: Path,
    size: int,
    base_model_without_dropout: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = f"train.model={base_model_without_dropout}"
    slow = "train.learning_rate=1e-3"
    alone, _ = fit(make_tiny_plan(model, slow, f"run_dir={tmp_path}/one"))
    plan = make_tiny_plan(model, slow, f"run_dir={tmp_path}/many")
    built = preparation.build_trainable(plan, open_task(plan), 15)  # threads share random state
    monkeypatch.setattr(preparation, "build_trainable", lambda *_: copy.deepcopy(built))

    def work(ring: ThreadRing) -> dict[str, torch.Tensor]:
        torch.set_num_threads(1)
        return weights(fit(plan, ring)[0])

    ranks = run_ranks(size, work)
    for name, tensor in weights(alone).items():
        torch.testing.assert_close(ranks[0][name], tensor, rtol=0, atol=2e-4)
        assert all(torch.equal(ranks[0][name], other[name]) for other in ranks[1:]), name
    plans = [make_tiny_plan(model, slow, f"run_dir={tmp_path}/{name}") for name in ("one", "many")]
    losses = [[line["loss"] for line in metrics(plan)] for plan in plans]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_a_damaged_checkpoint_is_passed_over(make_tiny_plan: PlanMaker, capfd: pytest.CaptureFixture[str]) -> None:
    plan = make_tiny_plan()
    straight, _ = fit(plan)
    newest = Path(plan.training_directory, "checkpoints", checkpoints(plan)[-1])
    for file in newest.glob("optimizer-*"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    _, cursor = prepare(plan)
    assert f"{newest.name} is damaged" in capfd.readouterr().err
    assert 0 < cursor.step < straight.total_steps
    again, end = fit(plan)
    assert end.step == straight.total_steps
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(straight).items())
    found = Checkpoints(plan.training_directory, fingerprint=plan.model, shards="", settings={}, keep=2).newest()
    assert found == str(newest)


def test_new_checkpoints_stay_where_later_ones_are_damaged(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan("train.keep_checkpoints=2")
    straight, _ = fit(plan)
    for name in checkpoints(plan):
        file = next(Path(plan.training_directory, "checkpoints", name).glob("model-*"))
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StoppedError, match="after step 4"):
        fit(plan, stop=NoStop(after_step=4))
    assert checkpoints(plan) == ["step-00000003", "step-00000004"]
    again, end = fit(plan)
    assert end.step == straight.total_steps and prepare(plan)[1].step == end.step
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(straight).items())


def test_a_half_written_checkpoint_does_not_count(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan()
    fit(plan)
    newest = Path(plan.training_directory, "checkpoints", checkpoints(plan)[-1])
    (newest / "published.json").unlink()
    _, cursor = prepare(plan)
    assert cursor.step < int(newest.name.partition("-")[2])


def test_only_the_last_checkpoints_are_kept(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan("train.keep_checkpoints=3", "train.checkpoint_every_steps=2")
    _, end = fit(plan)
    assert len(checkpoints(plan)) == 3
    assert checkpoints(plan)[-1] == f"step-{end.step:08d}"


def test_the_best_checkpoint_stays_besides_the_last(make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_tiny_plan("train.evaluate_checkpoints=true", "train.keep_checkpoints=1")
    found = []

    def evaluate_with_a_dent(*arguments: Any) -> dict[str, Any]:
        found.append(whole(*arguments))
        return {**found[-1], "loss": found[-1]["loss"] + (0.0 if len(found) == 2 else 1.0)}

    whole = Classification.evaluate
    monkeypatch.setattr(Classification, "evaluate", evaluate_with_a_dent)
    training, end = fit(plan)
    assert end.step == 15 and len(found) == 5
    assert checkpoints(plan) == ["step-00000006", "step-00000015"]
    assert training.checkpoints.best() == "step-00000006"


def test_validation_figures_stand_in_a_file_that_a_resume_rolls_back(make_tiny_plan: PlanMaker) -> None:
    def evaluated() -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.read_text().splitlines()]

    plan = make_tiny_plan("train.evaluate_checkpoints=true")
    stopped = make_tiny_plan("train.evaluate_checkpoints=true", f"run_dir={plan.run.root}-stopped-where-it-is-due")
    with pytest.raises(StoppedError):
        fit(stopped, stop=NoStop(after_step=3))
    assert Path(stopped.training_directory, "validation.jsonl").read_text() == ""
    file = Path(plan.training_directory, "validation.jsonl")
    with pytest.raises(StoppedError):
        fit(plan, stop=NoStop(after_step=7))
    first = evaluated()
    assert [line["step"] for line in first] == [3, 6], "a stop is not kept waiting by an evaluation"
    assert {"step", "total_steps", "loss", "accuracy", "macro_f1"} <= first[0].keys()
    for step in (6, 7):
        Path(plan.training_directory, "checkpoints", f"step-{step:08d}", "published.json").unlink()
    with file.open("a") as handle:
        handle.write('{"step": 9, "lo')
    fit(plan)
    assert [line["step"] for line in evaluated()] == [3, 6, 9, 12, 15]
    assert {line["total_steps"] for line in evaluated()} == {15}


def test_a_loss_that_is_not_finite_ends_the_training_and_names_the_checkpoint(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan("train.clip_norm=1e30", "train.learning_rate=0.99", "train.warmup_share=0")
    training, cursor = prepare(plan)
    batch = next(training.reader.epoch(0))
    with torch.no_grad():
        training.model.classifier.weight[0, 0] = float("nan")
    with pytest.raises(AgreedError, match=r"step 1: found loss nan.*lower train.learning_rate"):
        training.stepper.step(0, batch)
    with pytest.raises(AgreedError, match="there is no checkpoint yet"):
        run_training(training, cursor, NoStop())


def test_the_schedule_rises_and_falls(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan("train.warmup_share=0.2", "train.epochs=2")
    fit(plan)
    rates = [line["learning_rate"] for line in metrics(plan)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(5e-3)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < max(rates) / 10
    assert {line["epoch"] for line in metrics(plan)} == {0, 1}


def test_frozen_parameters_stay_as_they_were_and_biases_do_not_decay(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan("train.freeze_embeddings=true", "train.weight_decay=0.9")
    training, cursor = prepare(plan)
    before = weights(training)
    run_training(training, cursor, NoStop())
    after = weights(training)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    embeddings = {name for name in before if "_embeddings.weight" in name}
    assert len(embeddings) == 3 and not embeddings & changed
    assert {"classifier.weight", "bert.encoder.layer.0.attention.self.query.weight"} <= changed
    decayed, kept = training.optimizer.param_groups
    assert all(parameter.ndim >= 2 for parameter in decayed["params"]) and decayed["weight_decay"] == 0.9
    assert all(parameter.ndim < 2 for parameter in kept["params"]) and kept["weight_decay"] == 0


def test_ranks_with_different_weights_are_found_out() -> None:
    def work(ring: ThreadRing) -> None:
        check_same(ring, "the weights", [torch.full((3,), float(ring.rank == 1))])

    with pytest.raises(AgreedError, match="rank 0 and rank 1"):
        run_ranks(3, work)


def test_numbers_without_a_dimension_are_compared_too() -> None:
    """Such as `embed_scale` of Gemma 3."""

    def work(ring: ThreadRing) -> None:
        check_same(ring, "the weights", [torch.tensor(2.0), torch.zeros(0), torch.tensor(float(ring.rank == 1))])

    run_ranks(1, work)
    with pytest.raises(AgreedError, match="rank 0 and rank 1"):
        run_ranks(2, work)


def test_a_start_without_a_checkpoint_has_the_precision_of_the_first(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_tiny_plan("train.precision=auto")
    for measured in (("bf16", 2.0), ("fp32", 1.0)):
        monkeypatch.setattr(preparation, "choose_precision", lambda *_, found=measured, **__: found)
        assert prepare(plan)[1].precision == "bf16"


def test_who_is_asked_behind_the_last_step_ends_with_all_others() -> None:
    def work(ring: ThreadRing) -> str:
        end_if_asked(ring, NoStop())
        with pytest.raises(StoppedError, match="behind the last step"):
            end_if_asked(ring, NoStop(after_step=1 if ring.rank == 1 else None))
        return "ended"

    assert run_ranks(3, work) == ["ended"] * 3


def test_a_stop_while_it_is_evaluated_publishes_nothing_and_the_next_start_does(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, stop, whole = make_tiny_plan("train.baselines=false"), NoStop(), trainer._evaluate

    def evaluate_while_asked_to_stop(*given: Any) -> Any:
        stop.after_step = 1
        return whole(*given)

    monkeypatch.setattr(trainer, "_evaluate", evaluate_while_asked_to_stop)
    with pytest.raises(StoppedError, match="behind the last step"):
        trainer.train(plan, SingleRing(), stop)
    assert not is_published(plan.model_directory)
    monkeypatch.undo()
    trainer.train(plan, SingleRing(), NoStop())
    assert is_published(plan.model_directory)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_while_the_model_is_exported_ends_the_process_with_the_code_of_a_stop(number: signal.Signals) -> None:
    told = "import os; from training.loop import StopRequest; stop = StopRequest(); stop.end_at_once(); "
    words = [sys.executable, "-c", f"{told}os.kill(os.getpid(), {int(number)}); import time; time.sleep(60)"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 143 and done.stderr.endswith(
        "error: stopped as asked behind the last step; start again to evaluate and publish\n"
    )


def test_processes_of_a_launcher_that_makes_no_ring_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "HOROVOD_RANK",
        "OMPI_COMM_WORLD_RANK",
        "RANK",
        "PMI_SIZE",
        "SLURM_STEP_ID",
        "SLURM_STEP_NUM_TASKS",
        "SLURM_NTASKS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "4")  # of a batch job, whose script is one process
    assert open_ring(Settings()).size == 1
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    with pytest.raises(RingError, match="found SLURM_NTASKS=4"):
        open_ring(Settings())
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")  # of an interactive step, which is one process
    assert open_ring(Settings()).size == 1
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS")
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(RingError, match="found PMI_SIZE=2"):
        open_ring(Settings())


def test_an_error_of_rank_0_reaches_every_rank() -> None:
    def fail() -> None:
        raise StageError("no room")

    def work(ring: ThreadRing) -> str:
        with pytest.raises(AgreedError, match="no room"):
            first_rank_only(ring, fail)
        return "told"

    assert run_ranks(2, work) == ["told", "told"]


def test_what_takes_rank_0_long_is_waited_for_and_a_hanging_store_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(interface, "_STILL_BUSY_SECONDS", 0.05)

    class Hearing(ThreadRing):
        def broadcast_object(self, value: Any) -> Any:
            found = super().broadcast_object(value)
            if self.rank == 1:
                heard.append(found)
            return found

    def work(ring: ThreadRing) -> Any:
        own = Hearing(ring.rank, ring.size, ring._shared)
        return first_rank_only(own, lambda: time.sleep(0.4) or 7, may_take_long=True)

    assert run_ranks(2, work) == [7, 7]
    *waits, last = heard
    assert last == {"value": 7} and 3 <= len(waits) <= 9 and all(one == interface._STILL_BUSY for one in waits)
    heard.clear()
    monkeypatch.setattr(interface, "_MOST_WAITS", 2)
    run_ranks(2, work)
    assert len(heard) == 3, "beyond that the ring's own watch counts"
