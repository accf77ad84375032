"""Sizes that fit a corpus and a machine: lengths, batch, epochs, ranks, and about how long it will take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ModelFamily = Literal["pretrained", "lstm", "transformer"]

_GIB = 1 << 30
_LONGEST = 256  # tokens by default: attention's cost grows with the square, and most documents are told by their start
MOST_COUNTED = 512  # tokens of a text, beyond which its length does not matter any more
_LANES = 16
_LEAST_LANES = 4
_STEPS = 300  # in which a pretrained model has mostly learned a small task; from random weights it takes more
_STEPS_A_CLASS = 20  # a rare one is in few batches
_MOST_EPOCHS = {"pretrained": 5, "lstm": 10, "transformer": 10}
_LEAST_STEPS = {"pretrained": _STEPS, "lstm": 1000, "transformer": 1500}
_TRAINED_TOKENS = {"pretrained": 1200.0, "lstm": 6000.0, "transformer": 3000.0}  # a second and core, measured roughly
_SCORED_TOKENS = {"pretrained": 4000.0, "lstm": 8000.0, "transformer": 8000.0}  # the same
_START_SECONDS = 75.0  # of the starts of three stages, the baselines, evaluation and export
_BUDGET_SECONDS = 300.0  # of training, which further epochs may take
_RANK_BYTES = 2 * _GIB  # of a small encoder with its optimizer


@dataclass(frozen=True)
class Machine:
    """Cores and bytes of memory that are there, and what starts the ranks of a ring, None where nothing does."""

    cores: int
    memory: int
    launcher: Literal["horovodrun", "mpirun"] | None


@dataclass(frozen=True)
class Sizes:
    """What the config says, and why. `cut_share` are the texts longer than `max_length`; times are in seconds."""

    max_length: int
    cut_share: float
    lanes: int
    global_batch: int
    epochs: int
    steps: int
    ranks: int
    validation: float
    test: float
    train_seconds: float
    score_seconds: float

    @property
    def seconds(self) -> float:
        """From text to scores, roughly."""
        return _START_SECONDS + self.train_seconds + self.score_seconds


def fit_sizes(
    lengths: Sequence[int],
    *,
    rows: int,
    scored_rows: int,
    classes: int,
    family: ModelFamily,
    machine: Machine,
    has_pairs_in_lanes: bool = False,
) -> Sizes:
    """Sizes for a corpus.

    Args:
        lengths: of some texts, in tokens, special ones included; at least one.
        rows: that can be learned from.
        scored_rows: that are to be scored.
        classes: that are told apart; 0 without any.
        family: of the model, which says how fast and how slowly it learns.
        machine: that trains it.
        has_pairs_in_lanes: whether a pair is told from the others of its lane in a batch, so that lanes must be few.
    """
    max_length = fit_length(lengths)
    tokens = sum(min(length, max_length) for length in lengths) / len(lengths)
    validation, test = (0.1, 0.2) if rows < 2000 else (0.05, 0.15) if rows < 100_000 else (0.02, 0.05)
    trained = max(1, round(rows * (1 - validation - test)))
    batch = 16 if trained < 1000 else 32
    steps = math.ceil(trained / batch)
    cores = min(machine.cores, _LANES)
    epoch_seconds = trained * tokens / (_TRAINED_TOKENS[family] * cores)
    wanted = min(_MOST_EPOCHS[family], max(2, math.ceil((_LEAST_STEPS[family] + _STEPS_A_CLASS * classes) / steps)))
    affordable = max(1, int(_BUDGET_SECONDS / epoch_seconds))
    epochs = min(wanted, affordable)
    ranks = 1 if machine.launcher is None else max(1, min(machine.cores, _LANES, machine.memory // _RANK_BYTES))
    lanes = min(_power_of_two(max(ranks, _LEAST_LANES)), batch // 2) if has_pairs_in_lanes else _LANES
    return Sizes(
        max_length=max_length,
        cut_share=sum(length > max_length for length in lengths) / len(lengths),
        lanes=lanes,
        global_batch=batch,
        epochs=epochs,
        steps=steps * epochs,
        ranks=min(ranks, lanes),
        validation=validation,
        test=test,
        train_seconds=epochs * epoch_seconds,
        score_seconds=scored_rows * tokens / (_SCORED_TOKENS[family] * machine.cores),
    )


def _power_of_two(number: int) -> int:
    """The least one that is not below a number; batches are powers of two, too, and so multiples of it."""
    return 1 << (number - 1).bit_length()


def fit_length(lengths: Sequence[int]) -> int:
    """The least multiple of 8 that 99 % of the lengths fit into, from 16 to 256."""
    return max(16, min(_LONGEST, -(-percentile(lengths, 0.99) // 8) * 8))


def percentile(lengths: Sequence[int], share: float) -> int:
    """The length that this share of all lengths does not exceed."""
    ordered = sorted(lengths)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
