"""A BERT-like encoder on the tokens of its rows, without most of the padding between them.

A batch is padded to its longest row, and each block computes that padding, forward and backward. Here the rows of a
pass stand one behind the other in one long row, in groups of nearly one length: what a block does for each token by
itself it does for all of them at once, and attention works on a group at a time. So a pass takes what its tokens take,
and ranks with as many tokens take as long as each other, whichever of them has the longest row.

Transformers knows padding-free batches (Kundu et al. 2024) with flash attention, which needs a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from training.bert_like import attention_of, encoder_of, replace_forwards
from training.device import HOST


@dataclass(frozen=True, kw_only=True)
class Group:
    """`rows` of a batch of `width` cells; `mask`, bool (rows, 1, 1, width), is false at padding, None without any."""

    rows: int
    width: int
    mask: torch.Tensor | None


@dataclass(frozen=True, kw_only=True)
class Groups:
    """How the rows of a padded batch, (B, T), stand one behind the other, in N cells.

    `cells`, int64 (N,), are their places among the B x T. `starts`, int64 (B,), is where each row begins among the N,
    and `order`, int64 (B,), which row of the batch it is.
    """

    groups: list[Group]
    cells: torch.Tensor
    starts: torch.Tensor
    order: torch.Tensor


def choose_unpadded(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> None:
    """Compute a classifier's rows without their padding from now on, where the logits are those with it.

    Models whose encoder is built otherwise than BERT's stay as they are. So does what is computed on a GPU, which
    takes one large attention faster than several small ones, and what torch compiles, which it would for each batch.

    Args:
        model: a classifier of transformers, with or without what a method has added.
        inputs: its keyword arguments, with `input_ids` and `attention_mask` of shape (B, T); the first row is used.
    """
    encoder = encoder_of(model)
    if encoder is not None:
        attentions: Any = [block.attention.self for block in encoder.layer]  # type: ignore[union-attr]
        replace_forwards(model, {encoder: _encode, **dict.fromkeys(attentions, _attend)}, inputs)


def groups_of(mask: torch.Tensor) -> Groups | None:
    """Rows by length, longest first, in groups of little padding; None where there would be one group.

    Args:
        mask: bool (B, 1, T or 1, T), as transformers makes it of a batch's attention mask.

    Returns:
        None also where padding is not behind a row's tokens, a row has none, or tokens look at different ones.
    """
    of_rows = mask[:, 0, 0]  # (B, T)
    width = of_rows.shape[1]
    lengths = of_rows.sum(1)
    is_behind = torch.equal(of_rows, torch.arange(width) < lengths[:, None])
    if not is_behind or not lengths.all() or not (mask == mask[:, :, :1]).all():
        return None
    order = torch.argsort(lengths, descending=True, stable=True)
    by_length = lengths[order].tolist()
    parts = list(_cut(by_length))
    if len(parts) == 1:
        return None
    groups, cells, starts, begin = [], [], [], 0
    for part in parts:
        count, longest, shortest = part.stop - part.start, by_length[part.start], by_length[part.stop - 1]
        own = order[part]
        whole = shortest == longest
        groups.append(Group(rows=count, width=longest, mask=None if whole else mask[own, :, :1, :longest]))
        cells.append((own[:, None] * width + torch.arange(longest)).flatten())
        starts.append(begin + torch.arange(count) * longest)
        begin += count * longest
    return Groups(groups=groups, cells=torch.cat(cells), starts=torch.cat(starts), order=order)


def attention_in_groups(
    own: Any, groups: Groups, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> torch.Tensor:
    """BERT's attention within the rows of each group; as many vectors as queries, of the same shape.

    Args:
        own: BERT's module of queries, keys and values.
        groups: of N cells.
        query: (N, H), or (B, H) of one token a row.
        key: (N, H).
        value: (N, H).
    """
    rows = [group.rows for group in groups.groups]
    cells = [group.rows * group.width for group in groups.groups]
    queries = torch.split(query, rows if len(query) == len(groups.order) else cells)
    found = []
    for group, *parts in zip(groups.groups, queries, torch.split(key, cells), torch.split(value, cells), strict=True):
        own_query, own_key, own_value = (torch.unflatten(part, 0, (group.rows, -1)) for part in parts)
        found.append(attention_of(own, own_query, own_key, own_value, group.mask).flatten(0, 1))
    return torch.cat(found)


def _cut(lengths: Sequence[int]) -> Iterator[slice]:
    """Groups of rows by length, longest first, each with less padding than half of its longest row.

    For each group a block starts attention anew. Of three bounds, on 64 real sentences a step of two corpora, half a
    row was the fastest: 4 and 8 % over padded rows. With a whole row it was 2 and 6 %, with two rows 2 and 4 %.
    """
    first = padding = 0
    for row, length in enumerate(lengths):
        padding += lengths[first] - length
        if 2 * padding >= lengths[first] and row > first:
            yield slice(first, row)
            first, padding = row, 0
    yield slice(first, len(lengths))


def _encode(encoder: nn.Module, hidden: torch.Tensor, attention_mask: Any = None, *others: Any, **named: Any) -> Any:
    """What the encoder gives for all rows, from blocks that see the cells of all groups as one row, (1, N, H)."""
    stock = type(encoder).forward
    is_plain = named.get("past_key_values") is None and hidden.device == HOST and not torch.compiler.is_compiling()
    groups = groups_of(attention_mask) if attention_mask is not None and is_plain else None
    if groups is None:
        return stock(encoder, hidden, attention_mask, *others, **named)
    cells = hidden.flatten(0, 1).index_select(0, groups.cells)
    output = stock(encoder, cells[None], groups, *others, **named)
    output.last_hidden_state = _in_rows(output.last_hidden_state, groups, hidden.shape)
    return output


def _in_rows(found: torch.Tensor, groups: Groups, shape: torch.Size) -> torch.Tensor:
    """Rows in the batch's order: (B, T, H) with zeros where there were no cells, or (B, 1, H) of first tokens."""
    if len(found) == len(groups.order):
        return torch.empty_like(found).index_copy(0, groups.order, found)
    rows = found.new_zeros(shape[0] * shape[1], shape[2]).index_copy(0, groups.cells, found[0])
    return rows.view(shape)


def _attend(own: Any, hidden: torch.Tensor, attention_mask: Any = None, *others: Any, **named: Any) -> Any:
    """What BERT's attention gives: of groups, (1, N, H), within each of their rows."""
    if not isinstance(attention_mask, Groups):
        return type(own).forward(own, hidden, attention_mask, *others, **named)
    found = attention_in_groups(own, attention_mask, *(part(hidden[0]) for part in (own.query, own.key, own.value)))
    return found[None], None
