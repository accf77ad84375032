"""The gate: may a backend score in place of the fp32 model? Pure functions of logits and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_jobs.backends.rows import NO_LABEL

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A backend held against the fp32 model on the same rows.

    `agreement` is the share of `rows` with the same label. `accuracy` and `fp32_accuracy` are over the `labelled` rows,
    and None where there is none. `largest_difference` is that of two logits, `batch_difference` that of a row alone
    and among others. `loss` is the accuracy lost, negative where it was won, 0 without labelled rows.
    """

    rows: int
    agreement: float
    labelled: int
    accuracy: float | None
    fp32_accuracy: float | None
    loss: float
    largest_difference: float
    batch_difference: float

    def in_words(self) -> str:
        """Agreement and accuracy as part of a sentence."""
        told = f"{self.agreement:.4f} of {self.rows:,} validation rows have fp32's label"
        if self.accuracy is None:
            return told
        return f"{told}, accuracy {self.accuracy:.4f} against {self.fp32_accuracy:.4f}"


def compare(
    reference: Floats, candidate: Floats, label_ids: npt.NDArray[np.int64], alone: Floats | None = None
) -> Figures:
    """Figures of a candidate's logits (N, C) against those of fp32.

    Logits that are not finite agree with nothing. `alone` are the candidate's of the first rows, each in a batch of its
    own; without them `batch_difference` is 0.
    """
    finite = np.isfinite(candidate).all(axis=1)
    expected, found = reference.argmax(axis=1), np.where(finite, candidate.argmax(axis=1), -2)
    labelled = label_ids != NO_LABEL
    count = int(labelled.sum())
    right, fp32_right = (int((answer == label_ids)[labelled].sum()) for answer in (found, expected))
    return Figures(
        rows=len(reference),
        agreement=float((found == expected).mean()),
        labelled=count,
        accuracy=right / count if count else None,
        fp32_accuracy=fp32_right / count if count else None,
        loss=(fp32_right - right) / count if count else 0.0,  # of counts, so that no rounding fails a bound
        largest_difference=_largest_finite(candidate - reference),
        batch_difference=0.0 if alone is None else _largest_finite(alone - candidate[: len(alone)]),
    )


def refusal(figures: Figures, min_agreement: float, max_metric_loss: float) -> str | None:
    """Why a backend must not score, naming the figure and its setting; None where it may."""
    if figures.agreement < min_agreement:
        return (
            f"{figures.agreement:.4f} of {figures.rows:,} validation rows have fp32's label, expected at least "
            f"{min_agreement:g} (score.min_agreement)"
        )
    if figures.loss > max_metric_loss:
        return (
            f"accuracy on {figures.labelled:,} validation rows is {figures.accuracy:.4f} against "
            f"{figures.fp32_accuracy:.4f} in fp32, a loss of {figures.loss:.4f}, expected at most "
            f"{max_metric_loss:g} (score.max_metric_loss)"
        )
    return None


def _largest_finite(differences: Floats) -> float:
    return float(np.abs(differences)[np.isfinite(differences)].max(initial=0))
