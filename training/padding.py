"""Rows of different lengths to rectangular tensors, in pieces of bounded size."""

from __future__ import annotations

import itertools
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


def unlike_padding(ids: Ids, padding: int | None, vocabulary: int) -> Ids:
    """Ids below `vocabulary` with another one in place of padding, of which RoBERTa and its like count no positions."""
    return np.where(ids == padding, ((padding or 0) + 1) % vocabulary, ids).astype(np.int32)


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
    ends = np.cumsum([0, *group_rows]).tolist()
    lengths = np.array([len(ids) for ids in input_ids], np.int64)
    widths = [int(lengths[begin:end].max(initial=0)) for begin, end in itertools.pairwise(ends)]
    for groups in cut_groups(group_rows, widths, max_tokens):
        first, end = ends[groups.start], ends[groups.stop]
        order = first + np.argsort(-lengths[first:end], kind="stable")
        yield _pad(input_ids, order, int(lengths[order[0]]), pad_token_id)


def cut_groups(rows: Sequence[int], widths: Sequence[int], max_tokens: int) -> Iterator[slice]:
    """Groups, one behind the other, in pieces of at most so many cells; one of more has its own.

    Args:
        rows: of each group; a piece without any is left out.
        widths: of each group, that of its longest row.
        max_tokens: cells of a piece: its rows times its width.
    """
    first, count, width = 0, 0, 0
    for number, (own, own_width) in enumerate(zip(rows, widths, strict=True)):
        if count and (count + own) * max(width, own_width) > max_tokens:
            yield slice(first, number)
            first, count, width = number, 0, 0
        count, width = count + own, max(width, own_width)
    if count:
        yield slice(first, len(rows))


def _pad(input_ids: Sequence[Ids], rows: Integers, width: int, pad_token_id: int) -> PaddedRows:
    ids = np.full((len(rows), width), pad_token_id, np.int64)  # (B, T)
    mask = np.zeros((len(rows), width), np.int64)
    for line, row in enumerate(rows):
        own = input_ids[row]
        ids[line, : len(own)] = own
        mask[line, : len(own)] = 1
    return PaddedRows(rows, torch.from_numpy(ids), torch.from_numpy(mask))
