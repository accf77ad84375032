"""Rows of different lengths to rectangular tensors, in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from training.reader import Batch

MICRO_BATCH_TOKENS = 16_384  # bounds the memory of activations; 64 rows of 128 tokens go in one piece


class MicroBatch(NamedTuple):
    """Padded rows: `input_ids` and `attention_mask` are (B, T) int64, `labels` is (B,) int64."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor


def micro_batches(batch: Batch, pad_token_id: int, max_tokens: int = MICRO_BATCH_TOKENS) -> Iterator[MicroBatch]:
    """Sort a batch by length, cut it so that no piece has more than `max_tokens` cells, and pad each piece.

    A row longer than `max_tokens` makes a piece of its own.
    """
    lengths = np.array([len(ids) for ids in batch.input_ids], np.int64)
    order = np.argsort(-lengths, kind="stable")  # longest first: the first row of a piece is its width
    start = 0
    while start < len(order):
        width = int(lengths[order[start]])
        count = max(1, max_tokens // max(width, 1))
        yield _pad(batch, order[start : start + count], width, pad_token_id)
        start += count


def _pad(batch: Batch, rows: np.ndarray[tuple[int], np.dtype[np.int64]], width: int, pad_token_id: int) -> MicroBatch:
    ids = np.full((len(rows), width), pad_token_id, np.int64)  # (B, T)
    mask = np.zeros((len(rows), width), np.int64)
    for line, row in enumerate(rows):
        own = batch.input_ids[row]
        ids[line, : len(own)] = own
        mask[line, : len(own)] = 1
    return MicroBatch(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(batch.label_ids[rows]))
