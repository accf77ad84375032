"""Ranks that come and go under horovodrun: the job goes on, and every row is trained on once an epoch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.conftest import PlanMaker
from tests.training.elastic_changes import OVERRIDES, elastic_changes_survived
from tests.training.running import NoStop, prepare
from tests.training.thread_ring import ThreadRing, run_ranks
from training import train as trainer
from training.loop import run_training
from training.ring import RingError
from training.ring.interface import RegroupError
from training.ring.single import SingleRing
from training.sample_log import read_samples


class LeavingRing(SingleRing):
    """Hears after some steps that ranks wait to join."""

    elastic = True

    def __init__(self, steps: int) -> None:
        self._left = steps

    def members_changed(self) -> bool:
        self._left -= 1
        return self._left <= 0


def test_a_changed_ring_leaves_a_checkpoint_of_the_very_step(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan("train.log_samples=true")
    training, cursor = prepare(plan, LeavingRing(steps=5))
    with pytest.raises(RegroupError, match="after step 5"):
        run_training(training, cursor, NoStop())
    training, cursor = prepare(plan)
    assert cursor.step == 5
    run_training(training, cursor, NoStop())
    samples = read_samples(plan.training_directory)
    assert samples.rolled_back == [[]] and sorted(samples.steps) == list(range(1, training.total_steps + 1))


def test_one_rank_that_hears_it_tells_all(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan()

    class Hearing(ThreadRing):
        def members_changed(self) -> bool:
            return self.rank == 1

    def fit_until_change(ring: ThreadRing) -> str:
        training, cursor = prepare(plan, Hearing(ring.rank, ring.size, ring._shared))
        with pytest.raises(RegroupError) as told:
            run_training(training, cursor, NoStop())
        return str(told.value)

    assert run_ranks(2, fit_until_change) == ["the ranks change after step 1; going on from its checkpoint"] * 2


def test_only_an_elastic_ring_is_followed_by_another(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_a_rank(*_: object) -> None:
        raise RingError("rank 0: another rank ended")

    monkeypatch.setattr(trainer, "train", lose_a_rank)
    plan, stop = make_tiny_plan(), NoStop()
    assert trainer._train_in(LeavingRing(steps=9), plan, stop) is False
    with pytest.raises(RingError):
        trainer._train_in(SingleRing(), plan, stop)


def test_a_ring_that_breaks_while_it_forms_is_followed_by_another(
    make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def break_twice(_settings: object) -> SingleRing:
        opened.append("")
        if len(opened) <= 2:
            raise RingError("rank 0: another rank ended")
        return SingleRing()

    monkeypatch.setattr(trainer, "open_ring", break_twice)
    monkeypatch.setattr(trainer, "train", lambda *_: None)
    plan = make_tiny_plan()
    words = ["--config", plan.config, *plan.overrides]
    assert trainer.main(words) == RingError.exit_code and len(opened) == 1
    monkeypatch.setenv("HOROVOD_ELASTIC", "1")
    opened.clear()
    assert trainer.main(words) == 0 and len(opened) == 3
    assert "waiting for another one: rank 0: another rank ended" in capfd.readouterr().err
    monkeypatch.setattr(trainer, "_MOST_BROKEN_RINGS", 2)
    opened.clear()
    assert trainer.main(words) == RingError.exit_code and len(opened) == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ranks_join_die_and_leave_and_every_row_is_trained_on_once(make_tiny_plan: PlanMaker, tmp_path: Path) -> None:
    plan = make_tiny_plan(*OVERRIDES, f"run_dir={tmp_path}/elastic")
    assert elastic_changes_survived(plan, tmp_path) == 4
