"""How much a classifier's answers hang on how a text is written: its figures on changed texts of the test split."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mapring import local_copies, storage
from mapring.perturbation import KINDS, perturb
from mapring.text import Encoder
from training.device import device_of
from training.exact_sums import NO_EPOCH, piece_tokens
from training.figures.classification import figures
from training.reader import NO_LABEL, Batch, ShardReader
from training.ring import Ring, in_step
from training.tasks.interface import Piece, Task


def robustness(
    task: Task, model: nn.Module, ring: Ring, shards_directory: str, *, seed: int
) -> dict[str, dict[str, float | None]]:
    """For each kind of change `accuracy` and `macro_f1` of the test split, the same on any number of ranks.

    Args:
        task: a classification of single texts.
        model: in fp32.
        ring: all of its ranks call this.
        shards_directory: the published shards, whose texts are changed and tokenized again.
        seed: of the places that are changed.
    """
    reader = ShardReader(shards_directory, "test", rank=ring.rank, size=ring.size, text=True)
    details = reader.manifest.details
    model.eval()
    found = {}
    with tempfile.TemporaryDirectory() as cache, torch.inference_mode():
        folder = local_copies.localize(storage.join(shards_directory, details["tokenizer"]["path"]), Path(cache))
        encoder = Encoder(folder, int(details["max_length"]))
        for kind in KINDS:
            confusion = _confusion(task, model, ring, reader, encoder, kind, seed)
            ring.allreduce_sum([confusion])
            made = figures(confusion.numpy(), task.labels)
            found[kind] = {"accuracy": made["accuracy"], "macro_f1": made["macro_f1"]}
    return found


def _confusion(
    task: Task, model: nn.Module, ring: Ring, reader: ShardReader, encoder: Encoder, kind: str, seed: int
) -> torch.Tensor:
    """Confusion matrix (true, answered) of this rank on texts with one kind of change."""
    classes = len(task.labels)
    counts = torch.zeros(classes**2, dtype=torch.int64)
    for piece in in_step(ring, _changed_pieces(task, model, reader, encoder, kind, seed)):
        labels = piece.targets["labels"]  # (B,)
        answers = model(**piece.on(device_of(model)).inputs).logits.argmax(-1).cpu()  # (B,)
        labelled = labels != NO_LABEL
        counts += torch.bincount(labels[labelled] * classes + answers[labelled], minlength=classes**2)
    return counts.reshape(classes, classes)


def _changed_pieces(
    task: Task, model: nn.Module, reader: ShardReader, encoder: Encoder, kind: str, seed: int
) -> Iterator[Piece]:
    for rows in reader.rows():
        texts = [
            perturb(text, kind, doc_id=doc_id, seed=seed) for text, doc_id in zip(rows.texts, rows.doc_ids, strict=True)
        ]
        changed = Batch(
            doc_ids=rows.doc_ids,
            input_ids=[np.array(ids, np.int32) for ids in encoder.encode(texts)],
            label_ids=rows.label_ids,
            global_rows=rows.global_rows,
            texts=texts,
        )
        yield from task.pieces(changed, model, NO_EPOCH, piece_tokens(model))
