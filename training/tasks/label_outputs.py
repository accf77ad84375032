"""What a classifier answers on a split, and the figures that are made of it over all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from training.batches import Integers
from training.exact_sums import mean_loss
from training.figures import calibration, intervals
from training.figures.classification import figures
from training.figures.fixed_point import Floats
from training.ring import Ring
from training.temperature import fit_temperature

_MOST_CLASSES = 1000  # with replicates of their own: 200 of them for 1,000 classes are 5 MB


class LabelOutputs(NamedTuple):
    """A rank's labelled rows, with their logits (rows, classes); its unlabelled ones; its loss in fixed point."""

    doc_ids: list[str]
    labels: Integers
    logits: Floats
    unlabelled: int
    loss: int


def figures_over_ring(
    ring: Ring, outputs: LabelOutputs, labels: Sequence[str], *, seed: int, temperature: float | None
) -> dict[str, Any]:
    """All figures of a split, bit for bit the same on any number of ranks.

    Args:
        ring: all of its ranks call this.
        outputs: of this rank's rows.
        labels: names of the classes.
        seed: of the bootstrap's weights.
        temperature: what logits are divided by for the calibrated figures; None fits it to these very rows.

    Returns:
        Those of `figures.classification`, `unlabelled`, `loss`; `intervals` (95 %, bootstrap), `temperature`,
        `calibration` and `calibrated`: error, Brier score and reliability, without and with the temperature.
    """
    true, answers = outputs.labels, outputs.logits.argmax(axis=1) if len(outputs.labels) else outputs.labels
    if temperature is None:
        temperature = fit_temperature(ring, outputs.logits, true)
    sums = {
        "counts": np.array([outputs.unlabelled, outputs.loss], np.int64),
        "confusion": _confusion(true, answers, len(labels)),
        "accuracies": intervals.accuracy_replicates(outputs.doc_ids, true == answers, seed=seed),
        **_calibration_sums("as_is", outputs, 1.0),
        **_calibration_sums("calibrated", outputs, temperature or 1.0),
    }
    if len(labels) <= _MOST_CLASSES:
        sums["f1s"] = intervals.class_replicates(outputs.doc_ids, true, answers, len(labels), seed=seed)
    ring.allreduce_sum([torch.from_numpy(np.ascontiguousarray(part)) for part in sums.values()])
    unlabelled, loss = sums["counts"].tolist()
    found = figures(sums["confusion"], labels)
    return {
        "unlabelled": unlabelled,
        "loss": mean_loss(loss, found["rows"]),
        **found,
        "intervals": {
            "accuracy": intervals.ends(intervals.accuracies(sums["accuracies"])),
            "macro_f1": intervals.ends(intervals.macro_f1s(sums["f1s"])) if "f1s" in sums else None,
        },
        "temperature": temperature,
        "calibration": _calibration("as_is", sums),
        "calibrated": _calibration("calibrated", sums),
    }


def _confusion(true: Integers, answers: Integers, classes: int) -> Integers:
    counts = np.bincount(true * classes + answers, minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.int64)


def _calibration_sums(name: str, outputs: LabelOutputs, temperature: float) -> dict[str, Integers]:
    probabilities = _softmax(outputs.logits / temperature)
    right = outputs.logits.argmax(axis=1) == outputs.labels if len(outputs.labels) else outputs.labels
    confidences = probabilities.max(axis=1) if len(outputs.labels) else outputs.labels
    return {
        f"confidences_{name}": calibration.confidence_sums(confidences, right),
        f"brier_{name}": calibration.brier_sums(probabilities, outputs.labels),
    }


def _calibration(name: str, sums: dict[str, Integers]) -> dict[str, Any]:
    found = calibration.calibration_figures(sums[f"confidences_{name}"])
    del found["rows"]
    return {**found, "brier_score": calibration.brier_score(sums[f"brier_{name}"])}


def _softmax(logits: Floats) -> npt.NDArray[np.float64]:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True)) if len(logits) else logits
    total: npt.NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return total
