"""Rows of older shards among the new ones (experience replay), so that what was learned of them is not forgotten.

The older shards are read round and round, in an order of their own: step s of the whole training has their batch s
behind the new rows. So the sequence of global batches is a function of both manifests, seed, epoch and step, it is the
same for any number of ranks, and a resume needs no further state.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import numpy as np

from mapring.plan import Plan
from training.batches import Integers
from training.label_names import ids_by_name, rename_labels
from training.older_shards import OlderShards
from training.reader import Batch, ShardReader
from training.ring import Ring
from training.ring.interface import AgreedError
from training.shard_check import rows_of_labels
from training.tasks import Task


def older_rows(share: float, global_batch: int, lanes: int) -> int:
    """Older rows of each step over all ranks: this share of the global batch in whole stripes, at least one."""
    return max(1, round(global_batch * share / lanes)) * lanes


class ReplayReader:
    """New rows with older ones behind them; of the interface of `ShardReader` what a training needs.

    Steps, rows and tokens are those of the new shards, whose epochs are counted.

    Args:
        new: reader of the new shards.
        older: reader of the older ones, of the same rank.
        labels: names of the task's classes, by which older label ids are replaced.
    """

    def __init__(self, new: ShardReader, older: ShardReader, labels: Sequence[str]) -> None:
        self._new, self._older = new, older
        self._label_ids: Integers | None = ids_by_name(older.manifest.details["labels"], labels)
        self.manifest, self.steps = new.manifest, new.steps
        self.tokens, self.rows_in_split = new.tokens, new.rows_in_split

    @property
    def read_amplification(self) -> float:
        """The greater one of both readers."""
        return max(self._new.read_amplification, self._older.read_amplification)

    @property
    def times_replayed(self) -> float:
        """How often an older row comes in an epoch of the new shards, on average."""
        return self.steps / self._older.steps

    def epoch(self, epoch: int, first_step: int = 0, *, then: int | None = None) -> Iterator[Batch]:
        """Yield this rank's part of every global batch of an epoch of the new shards, from `first_step` on.

        `then` is the epoch that will be asked for next, None behind the last one.
        """
        with closing(self._round_and_round(epoch * self.steps + first_step)) as older:
            # The new rows are asked for first, so that behind the last of them no older ones are read in vain.
            for own, replayed in zip(self._new.epoch(epoch, first_step, then=then), older, strict=False):
                yield joined(own, rename_labels(replayed, self._label_ids))

    def _round_and_round(self, number: int) -> Generator[Batch, None, None]:
        """Batches of the older shards without end, from this one on."""
        epoch, first = divmod(number, self._older.steps)
        while True:
            yield from self._older.epoch(epoch, first, then=epoch + 1)
            epoch, first = epoch + 1, 0


def joined(first: Batch, second: Batch) -> Batch:
    """The rows of one batch behind those of another."""
    return Batch(
        doc_ids=[*first.doc_ids, *second.doc_ids],
        input_ids=[*first.input_ids, *second.input_ids],
        label_ids=np.concatenate([first.label_ids, second.label_ids]),
        global_rows=first.global_rows + second.global_rows,
        texts=[*first.texts, *second.texts],
        starts=[*first.starts, *second.starts],
        label_sets=[*first.label_sets, *second.label_sets],
        targets=np.concatenate([first.targets, second.targets]),
        second_starts=np.concatenate([first.second_starts, second.second_starts]),
        is_labelled=np.concatenate([first.is_labelled, second.is_labelled]),
        lane_rows=[*first.lane_rows, *second.lane_rows],
    )


def open_reader(plan: Plan, older: OlderShards | None, task: Task, ring: Ring) -> ShardReader | ReplayReader:
    """The reader of this rank's training rows, new ones and those that are replayed.

    Raises:
        PublishedError, SettingsError: as `ShardReader`.
        AgreedError: of older pairs less than two come from a lane, in which they are told from each other.
    """
    train = plan.settings.train

    def reader(directory: str, global_batch: int) -> ShardReader:
        return ShardReader(
            directory,
            "train",
            rank=ring.rank,
            size=ring.size,
            seed=plan.settings.seed,
            global_batch=global_batch,
            shuffle_window=train.shuffle_window,
        )

    new = reader(plan.shards_directory, train.global_batch)
    if older is None or not train.replay.share:
        return new
    lanes = int(older.manifest.details["lanes"])
    rows = older_rows(train.replay.share, train.global_batch, lanes)
    if task.name == "embed" and rows < 2 * lanes:
        raise AgreedError(
            f"train.replay.share: found {train.replay.share:g}, {rows} older pairs a step from {lanes} lanes, expected "
            f"at least {2 * lanes}: a pair is told from the others of its lane; raise it to at least "
            f"{2 * lanes / train.global_batch:.2f}"
        )
    return ReplayReader(new, reader(older.directory, rows), task.labels)


def rows_of_an_epoch(
    ring: Ring, directory: str, older: OlderShards | None, reader: ShardReader | ReplayReader, labels: Sequence[str]
) -> list[float]:
    """Rows with each label in one epoch, over all ranks: of the new shards, and on average of those that are replayed.

    Sampling weights of sources are passed over: each row of a training split is counted once.
    """
    found: list[float] = [*rows_of_labels(ring, directory, len(labels))]
    if older is None or not isinstance(reader, ReplayReader):
        return found
    names = older.manifest.details["labels"]
    for name, count in zip(names, rows_of_labels(ring, older.directory, len(names)), strict=True):
        found[labels.index(name)] += count * reader.times_replayed
    return found
