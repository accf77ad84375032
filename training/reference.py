"""What held-out rows are like and what a model answers on them, as counts: what later scorings are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from mapring.contract import read_manifest
from training.batches import Integers
from training.exact_sums import pieces_of_split
from training.figures.fixed_point import Floats
from training.heads import logits_at
from training.mistakes import WorstMistakes
from training.reader import Batch
from training.reference_inputs import reference_inputs
from training.ring import Ring
from training.tasks.interface import Piece, Task

BINS = 20
_UNIT = np.linspace(0, 1, BINS + 1)  # of probabilities
_COSINE = np.linspace(-1, 1, BINS + 1)
_NATS = np.linspace(0, 10, BINS + 1)  # of a token; a vocabulary of 22,000 guessed at random has 10
_PARTS = 10  # that numbers in the targets' unit, which have no bounds of their own, are divided into


def reference_distribution(
    task: Task,
    model: nn.Module,
    ring: Ring,
    shards_directory: str,
    temperature: float = 1.0,
    mistakes: WorstMistakes | None = None,
    outputs: Sequence[torch.Tensor] = (),
) -> dict[str, Any] | None:
    """Histograms of all rows of the test split, or of the validation split where that is empty; None where both are.

    Bit for bit the same on any number of ranks, all of which call this. What is outside of a histogram's edges counts
    in its first or last bin.

    Args:
        task: of the model.
        model: as it is published, in fp32.
        ring: all ranks.
        shards_directory: the published shards.
        temperature: of the model, by which a classifier's logits are divided as they are when it scores.
        mistakes: what collects the worst answers of this rank, of tasks that have right ones.
        outputs: what the model gave for this rank's pieces of the test split, where an evaluation was told of it
            (`Task.evaluate`); without them they are computed.

    Returns:
        `split` and `rows`; `inputs` of `reference_inputs`; whether rows are packed sequences (`is_packed`); and of a
        classifier `temperature` and `top_score`, a histogram of the largest probability; with `classify`
        and `multilabel` `labels`, of each label the number of `answers` and a histogram of its `probability`;
        with `regression` `prediction`, whose edges are the deciles; with `embed` `similarity`, the cosine of both
        texts of a pair; of a language model `loss`, the mean in nats over a row's predicted tokens. A histogram is
        `edges`, one more than `counts`.
    """
    details = read_manifest(shards_directory).details
    splits = details["splits"]
    split = next((name for name in ("test", "validation") if splits.get(name, {}).get("rows")), None)
    if split is None:
        return None
    pieces = pieces_of_split(task, model, ring, shards_directory, split)
    given = _outputs(task, model, pieces, mistakes, outputs if split == "test" else ())
    if task.name in ("classify", "multilabel"):
        found = _of_labels(task, ring, given, temperature if task.name == "classify" else 1.0)
    elif task.name == "regression":
        found = _of_numbers(ring, _values(output[:, 0] for output in given))
    elif task.name == "embed":
        found = _of_values(ring, "similarity", _values(map(_cosines, given)), _COSINE)
    else:
        found = _of_values(ring, "loss", _values(_losses(model, piece) for _, piece in pieces), _NATS)
    inputs = reference_inputs(task.name, ring, shards_directory, split)
    return {"split": split, "is_packed": details.get("packing") is not None, "inputs": inputs, **found}


def _outputs(
    task: Task,
    model: nn.Module,
    pieces: Iterable[tuple[Batch, Piece]],
    mistakes: WorstMistakes | None,
    known: Sequence[torch.Tensor],
) -> Iterator[torch.Tensor]:
    """What the model gives for each piece, float64 on the CPU, after its mistakes were collected."""
    for place, (batch, piece) in enumerate(pieces):
        output = (known[place] if known else task.output(model, piece.inputs)).double().cpu()  # (B, C)
        if mistakes is not None:
            mistakes.add(batch, piece.rows, output)
        yield output


def _of_labels(task: Task, ring: Ring, outputs: Iterator[torch.Tensor], temperature: float) -> dict[str, Any]:
    count, one_label = len(task.labels), task.name == "classify"
    answers, top = np.zeros(count, np.int64), np.zeros(BINS, np.int64)
    histograms, rows = np.zeros((count, BINS), np.int64), np.zeros(1, np.int64)
    for output in outputs:
        logits = output / temperature  # (B, C)
        probabilities = (logits.softmax(1) if one_label else logits.sigmoid()).numpy()
        given = functional.one_hot(logits.argmax(1), count).numpy() if one_label else probabilities > 0.5
        answers += given.sum(0)
        rows += len(logits)
        top += _counts(probabilities.max(1), _UNIT)
        histograms += [_counts(column, _UNIT) for column in probabilities.T]
    ring.allreduce_sum([torch.from_numpy(part) for part in (answers, rows, top, histograms)])
    return {
        "rows": int(rows[0]),
        **({"temperature": temperature, "top_score": _histogram(top, _UNIT)} if one_label else {}),
        "labels": {
            label: {"answers": int(number), "probability": _histogram(counts, _UNIT)}
            for label, number, counts in zip(task.labels, answers, histograms, strict=True)
        },
    }


def _of_numbers(ring: Ring, own: Floats) -> dict[str, Any]:
    """With edges that are answers themselves, so that no rounding hangs on the number of ranks."""
    found = np.sort(np.concatenate(ring.allgather_object(own)))
    places = (len(found) * np.arange(_PARTS + 1) + _PARTS - 1) // _PARTS - 1  # the last one of each tenth
    edges = np.unique(found[np.maximum(places, 0)])
    edges = edges if len(edges) > 1 else np.repeat(edges, 2)  # all answers are equal
    return {"rows": len(found), "prediction": _histogram(_counts(found, edges), edges)}


def _of_values(ring: Ring, name: str, own: Floats, edges: Floats) -> dict[str, Any]:
    counts = _counts(own, edges)
    ring.allreduce_sum([torch.from_numpy(counts)])
    return {"rows": int(counts.sum()), name: _histogram(counts, edges)}


def _cosines(output: torch.Tensor) -> torch.Tensor:
    first, second = output.chunk(2)  # (B, H) each
    return (first * second).sum(1)


def _losses(model: nn.Module, piece: Piece) -> torch.Tensor:
    """The mean loss of each row in which a token is predicted."""
    where = piece.targets["where"]
    logits = logits_at(model, piece.inputs, where).double()  # (N, V)
    losses = functional.cross_entropy(logits, piece.targets["tokens"], reduction="none")
    predicted = where.sum(1)
    sums = torch.zeros(len(where), dtype=torch.float64, device=where.device).index_add_(
        0, where.nonzero()[:, 0], losses
    )
    return (sums / predicted)[predicted > 0]


def _values(parts: Iterator[torch.Tensor]) -> Floats:
    found: Sequence[npt.NDArray[Any]] = [part.double().cpu().numpy() for part in parts]
    return np.concatenate([np.zeros(0), *found])


def _counts(values: npt.NDArray[Any], edges: Floats) -> Integers:
    """How many values are in each bin; a bin holds its lower edge, the last one both."""
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(places, minlength=len(edges) - 1).astype(np.int64)


def _histogram(counts: Integers, edges: Floats) -> Mapping[str, Any]:
    return {"edges": edges.tolist(), "counts": counts.tolist()}
