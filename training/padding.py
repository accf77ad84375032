"""Rows of different lengths to rectangular tensors, in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from training.batches import Integers
from training.rows import Ids

MICRO_BATCH_TOKENS = 16_384  # bounds the memory of activations; 64 rows of 128 tokens go in one piece


class PaddedRows(NamedTuple):
    """Some rows, by their numbers (B,), and their ids and mask: int64 (B, T), the mask 0 where there is padding."""

    rows: Integers
    input_ids: torch.Tensor
    attention_mask: torch.Tensor


def padded_rows(
    input_ids: Sequence[Ids], pad_token_id: int, max_tokens: int = MICRO_BATCH_TOKENS
) -> Iterator[PaddedRows]:
    """Sort rows by length, cut them so that no piece has more than `max_tokens` cells, and pad each piece.

    A row longer than `max_tokens` makes a piece of its own.
    """
    lengths = np.array([len(ids) for ids in input_ids], np.int64)
    order = np.argsort(-lengths, kind="stable")  # longest first: the first row of a piece is its width
    start = 0
    while start < len(order):
        width = int(lengths[order[start]])
        count = max(1, max_tokens // max(width, 1))
        yield _pad(input_ids, order[start : start + count], width, pad_token_id)
        start += count


def whole_groups(
    input_ids: Sequence[Ids], group_rows: Sequence[int], pad_token_id: int, max_tokens: int = MICRO_BATCH_TOKENS
) -> Iterator[PaddedRows]:
    """As `padded_rows`, but rows of a group are in one piece; one of more than `max_tokens` cells has its own.

    Args:
        input_ids: rows of the first group, then of the second, and so on.
        group_rows: rows of each group.
        pad_token_id: what rows are filled up with.
        max_tokens: cells of a piece of several groups.
    """
    ends = np.cumsum([0, *group_rows])
    lengths = np.array([len(ids) for ids in input_ids], np.int64)
    first, width = 0, 0
    for begin, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        own_width = int(lengths[begin:end].max(initial=0))
        if begin > first and (end - first) * max(width, own_width) > max_tokens:
            yield _one_piece(input_ids, lengths, first, begin, pad_token_id)
            first, width = begin, 0
        width = max(width, own_width)
    if len(lengths) > first:
        yield _one_piece(input_ids, lengths, first, len(lengths), pad_token_id)


def _one_piece(input_ids: Sequence[Ids], lengths: Integers, first: int, end: int, pad_token_id: int) -> PaddedRows:
    order = first + np.argsort(-lengths[first:end], kind="stable")
    return _pad(input_ids, order, int(lengths[order[0]]), pad_token_id)


def _pad(input_ids: Sequence[Ids], rows: Integers, width: int, pad_token_id: int) -> PaddedRows:
    ids = np.full((len(rows), width), pad_token_id, np.int64)  # (B, T)
    mask = np.zeros((len(rows), width), np.int64)
    for line, row in enumerate(rows):
        own = input_ids[row]
        ids[line, : len(own)] = own
        mask[line, : len(own)] = 1
    return PaddedRows(rows, torch.from_numpy(ids), torch.from_numpy(mask))
