"""The log of samples: every row once an epoch, the same for any number of ranks, rolled back steps told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapring.errors import PublishedError
from mapring.plan import Plan
from tests.training.conftest import PlanMaker
from tests.training.running import NoStop, fit
from tests.training.thread_ring import run_ranks
from training.loop import StoppedError
from training.reader import Batch, ShardReader
from training.sample_log import FOLDER, Samples, read_samples

LOGGED = ("train.log_samples=true", "train.epochs=2")


def rows_of(plan: Plan) -> Counter[str]:
    reader = ShardReader(plan.shards_directory, "train")
    return Counter(doc_id for batch in reader.rows() for doc_id in batch.doc_ids)


def epochs_of(samples: Samples) -> dict[int, Counter[str]]:
    found: dict[int, Counter[str]] = {}
    for step in samples.steps.values():
        found.setdefault(step.epoch, Counter()).update(step.doc_ids)
    return found


@pytest.fixture
def logged_alone(make_tiny_plan: PlanMaker, tmp_path: Path) -> Samples:
    plan = make_tiny_plan(*LOGGED, f"run_dir={tmp_path}/alone")
    fit(plan)
    return read_samples(plan.training_directory)


def test_every_row_comes_once_an_epoch_after_a_rollback_too(make_tiny_plan: PlanMaker, logged_alone: Samples) -> None:
    plan = make_tiny_plan(*LOGGED)
    with pytest.raises(StoppedError):
        fit(plan, stop=NoStop(after_step=8))
    folder = Path(plan.training_directory)
    newest = max((folder / "checkpoints").iterdir())
    (newest / "published.json").unlink()  # as if the kill had come just before it
    fit(plan)
    samples = read_samples(plan.training_directory)
    assert samples.rolled_back == [[7, 8]]
    assert epochs_of(samples) == {0: rows_of(plan), 1: rows_of(plan)}
    assert samples.steps == logged_alone.steps


def test_a_training_says_which_epoch_follows(make_tiny_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int | None]] = []
    epoch_of = ShardReader.epoch

    def noted(reader: ShardReader, epoch: int, first_step: int = 0, *, then: int | None = None) -> Iterator[Batch]:
        told.append((epoch, then))
        return epoch_of(reader, epoch, first_step, then=then)

    monkeypatch.setattr(ShardReader, "epoch", noted)
    fit(make_tiny_plan("train.epochs=3"))
    assert told == [(0, 1), (1, 2), (2, None)]


@pytest.mark.parametrize("size", [2, 3])
def test_the_log_is_the_same_for_any_number_of_ranks(
    make_tiny_plan: PlanMaker, logged_alone: Samples, size: int
) -> None:
    plan = make_tiny_plan(*LOGGED)
    run_ranks(size, lambda ring: fit(plan, ring))
    assert read_samples(plan.training_directory) == logged_alone


def test_a_step_without_a_rank_s_part_counts_only_at_the_end(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan(*LOGGED)
    run_ranks(2, lambda ring: fit(plan, ring))
    samples = read_samples(plan.training_directory)
    parts = sorted(Path(plan.training_directory, FOLDER, "attempt-0000-from-00000000").glob("rank-00001-*"))
    parts[-1].unlink()
    assert max(read_samples(plan.training_directory).steps) < max(samples.steps)
    parts[0].unlink()
    with pytest.raises(PublishedError, match="no samples of step 1,"):
        read_samples(plan.training_directory)


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    assert read_samples(str(tmp_path)) == Samples({}, [])
