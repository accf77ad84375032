"""The rows that a model is most wrong about, and the training rows that are most like them.

They are published beside the model as ids and places in its shards, and never as texts: who shows them reads the texts
there, and when the shards are gone after a document was forgotten, no copy is left.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch.nn import functional

from mapring import storage
from mapring.contract import Manifest, read_manifest
from mapring.contract.schemas import MISTAKE
from training.baselines.texts import has_words, labelled_texts, word_weights
from training.batches import Integers
from training.reader import Batch, ShardReader
from training.ring import Ring
from training.tasks.interface import Task

NEIGHBOURS = 3
_WITH_MISTAKES = ("classify", "multilabel", "regression")
_DIGITS = 6  # of a similarity: where float32 rounds, ids decide


class Mistake(NamedTuple):
    """A labelled row: what it is, what the model said and how sure it was (None but with one label), and the loss.

    The loss is the cross entropy in nats, of several labels the binary one summed over them, of numbers the distance.
    """

    doc_id: str
    truth: str
    answer: str
    confidence: float | None
    loss: float


class Neighbour(NamedTuple):
    """A training row, its label, and the cosine of the TF-IDF weights of both texts."""

    doc_id: str
    label: str
    similarity: float


@dataclass
class WorstMistakes:
    """The `most` worst rows of a rank, collected from outputs that are computed anyway."""

    task: Task
    temperature: float
    most: int
    _own: list[Mistake] = field(default_factory=list)

    def add(self, batch: Batch, rows: Integers, outputs: torch.Tensor) -> None:
        """Look at the outputs (B, C) of the rows (B,) of a batch, float64 on the CPU."""
        if self.most == 0 or self.task.name not in _WITH_MISTAKES:
            return
        where = np.flatnonzero(batch.is_labelled[rows])
        self._own += self._wrong(batch, rows[where], outputs[torch.from_numpy(where)])
        self._own = sorted(self._own, key=_order)[: self.most]

    def over_ring(self, ring: Ring) -> list[Mistake]:
        """The worst of all ranks, which all call this; the same on any number of them."""
        every = ring.allgather_object(self._own)
        return sorted((mistake for own in every for mistake in own), key=_order)[: self.most]

    def _wrong(self, batch: Batch, rows: Integers, outputs: torch.Tensor) -> Iterator[Mistake]:
        if self.task.name == "regression":
            return _wrong_numbers(batch, rows, outputs)
        if self.task.name == "multilabel":
            return _wrong_sets(self.task.labels, batch, rows, outputs)
        return _wrong_labels(self.task.labels, batch, rows, outputs / self.temperature)


def _wrong_labels(labels: Sequence[str], batch: Batch, rows: Integers, logits: torch.Tensor) -> Iterator[Mistake]:
    logs = logits.log_softmax(1)  # (B, C)
    answers, truths = logs.argmax(1).numpy(), batch.label_ids[rows]
    for place in np.flatnonzero(answers != truths).tolist():
        truth, answer = int(truths[place]), int(answers[place])
        sure, loss = float(logs[place, answer].exp()), -float(logs[place, truth])
        yield Mistake(batch.doc_ids[rows[place]], labels[truth], labels[answer], sure, loss)


def _wrong_sets(labels: Sequence[str], batch: Batch, rows: Integers, logits: torch.Tensor) -> Iterator[Mistake]:
    truths = np.zeros(tuple(logits.shape), np.bool_)
    for place, row in enumerate(rows.tolist()):
        truths[place, batch.label_sets[row]] = True
    answers = logits.numpy() > 0  # where the sigmoid is above 0.5
    expected = torch.from_numpy(truths).double()
    losses = functional.binary_cross_entropy_with_logits(logits, expected, reduction="none").sum(1).tolist()
    for place in np.flatnonzero((answers != truths).any(axis=1)).tolist():
        truth, answer = (_names(labels, np.flatnonzero(own[place]).tolist()) for own in (truths, answers))
        yield Mistake(batch.doc_ids[rows[place]], truth, answer, None, losses[place])


def _wrong_numbers(batch: Batch, rows: Integers, outputs: torch.Tensor) -> Iterator[Mistake]:
    answers, truths = outputs[:, 0].numpy(), batch.targets[rows]
    distances = np.abs(answers - truths)
    for place in np.flatnonzero(distances).tolist():
        truth, answer = f"{truths[place]:.6g}", f"{answers[place]:.6g}"
        yield Mistake(batch.doc_ids[rows[place]], truth, answer, None, float(distances[place]))


def label_text(task: str, batch: Batch, row: int, labels: Sequence[str]) -> str:
    """What a labelled row is labelled with, for people."""
    if task == "regression":
        return f"{batch.targets[row]:.6g}"
    return _names(labels, batch.label_sets[row]) if task == "multilabel" else labels[batch.label_ids[row]]


def to_parquet(worst: Sequence[Mistake], split: str, task: str, shards_directory: str) -> bytes:
    """A Parquet file of MISTAKE, the worst first, with up to 3 training rows that share words with each.

    The training rows are found among the first 100,000 labelled ones, which are random. In one process alone.

    Args:
        worst: at least one, as `WorstMistakes.over_ring` gives them.
        split: that they are of.
        task: name of the task.
        shards_directory: the published shards.
    """
    manifest = read_manifest(shards_directory)
    near = nearest(worst, split, task, shards_directory, manifest.details["labels"])
    wrong = _places(manifest, shards_directory, split, {mistake.doc_id for mistake in worst})
    known = _places(manifest, shards_directory, "train", {one.doc_id for own in near for one in own})
    rows = [
        {
            "rank": rank,
            "split": split,
            **mistake._asdict(),
            **wrong[mistake.doc_id]._asdict(),
            "neighbours": [{**one._asdict(), **known[one.doc_id]._asdict()} for one in own],
        }
        for rank, (mistake, own) in enumerate(zip(worst, near, strict=True), 1)
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=MISTAKE), sink)
    return sink.getvalue()


def nearest(
    worst: Sequence[Mistake], split: str, task: str, shards_directory: str, labels: Sequence[str]
) -> list[list[Neighbour]]:
    """The training rows most like each mistake, the nearest first, ties by id; none that shares no word with it."""

    def label_of(batch: Batch, row: int) -> str:
        return label_text(task, batch, row, labels)

    texts, own_labels, doc_ids = labelled_texts(shards_directory, "train", label_of)
    wanted = {mistake.doc_id: place for place, mistake in enumerate(worst)}
    asked = [""] * len(worst)
    for batch in ShardReader(shards_directory, split, text=True).rows():
        for doc_id, text in zip(batch.doc_ids, batch.texts, strict=True):
            if doc_id in wanted:
                asked[wanted.pop(doc_id)] = text
        if not wanted:
            break
    if not has_words(texts):
        return [[] for _ in worst]
    vectorizer = word_weights()
    weights = vectorizer.fit_transform(texts)
    cosines = np.round((vectorizer.transform(asked) @ weights.T).toarray().astype(np.float64), _DIGITS)
    return [_first(own, doc_ids, own_labels) for own in cosines]


def _first(cosines: np.ndarray, doc_ids: Sequence[str], labels: Sequence[str]) -> list[Neighbour]:
    bound = np.partition(cosines, -NEIGHBOURS)[-NEIGHBOURS] if len(cosines) > NEIGHBOURS else 0.0
    near = np.flatnonzero((cosines >= bound) & (cosines > 0))
    found = [Neighbour(doc_ids[row], labels[row], float(cosines[row])) for row in near.tolist()]
    return sorted(found, key=lambda one: (-one.similarity, one.doc_id))[:NEIGHBOURS]


class _Place(NamedTuple):
    path: str
    row: int


def _places(manifest: Manifest, directory: str, split: str, doc_ids: set[str]) -> dict[str, _Place]:
    """In which file of a split documents stand, and in which row of it."""
    found: dict[str, _Place] = {}
    values = pa.array(sorted(doc_ids), pa.string())
    for parts in manifest.details["splits"][split]["shards"]:
        for part in parts:
            if len(found) == len(doc_ids):
                return found
            with storage.open_read(storage.join(directory, part["path"])) as handle:
                column = pq.ParquetFile(handle).read(["doc_id"]).column("doc_id")
            for row in np.flatnonzero(pc.is_in(column, value_set=values).to_numpy()).tolist():
                found[column[row].as_py()] = _Place(part["path"], row)
    return found


def _names(labels: Sequence[str], numbers: Iterable[int]) -> str:
    return ", ".join(labels[number] for number in numbers) or "none"


def _order(mistake: Mistake) -> tuple[float, str]:
    return -mistake.loss, mistake.doc_id
