"""Pairs of texts as models see them: told apart by token types, or each text by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from tokenizers import Encoding, Tokenizer
from torch import nn

from mapring import storage
from training.batches import Integers
from training.model import config_of
from training.padding import PaddedRows
from training.reader import NO_PAIR, Batch
from training.ring.interface import AgreedError
from training.rows import Ids
from training.tasks.interface import Piece

_TRIED_WORDS = 1000  # of a vocabulary, until one of them is a token where it stands alone


def token_types(batch: Batch, padded: PaddedRows, model: nn.Module) -> dict[str, torch.Tensor]:
    """`token_type_ids`, int64 (B, T), where rows are pairs and the model has token types; else nothing.

    As in Devlin et al. 2019: 1 from the second text's first token to the end, 0 elsewhere and in padding.
    """
    starts = batch.second_starts[padded.rows]
    return types_from(starts, padded.attention_mask, model) if (starts != NO_PAIR).any() else {}


def types_from(starts: Integers, attention_mask: torch.Tensor, model: nn.Module) -> dict[str, torch.Tensor]:
    """As `token_types`, of rows whose second texts begin at `starts`, shape (B,); their mask is (B, T)."""
    if int(getattr(config_of(model), "type_vocab_size", 0) or 0) < 2:
        return {}
    places = torch.arange(attention_mask.shape[1])
    return {"token_type_ids": (places >= torch.from_numpy(starts)[:, None]).long() * attention_mask}


def piece_of(batch: Batch, padded: PaddedRows, model: nn.Module, targets: Mapping[str, torch.Tensor]) -> Piece:
    """A piece whose rows are read whole, pairs as in a cross-encoder (Nogueira and Cho 2019)."""
    return Piece(
        rows=padded.rows,
        inputs={
            "input_ids": padded.input_ids,
            "attention_mask": padded.attention_mask,
            **token_types(batch, padded, model),
        },
        targets=targets,
        tokens=int(padded.attention_mask.sum()),
    )


@dataclass(frozen=True)
class PairForm:
    """Where a tokenizer puts special tokens into pairs, and what they are around a single text.

    `before`, `between` and `behind` count those of a pair; `prefix` and `suffix` are ids around a single text.
    """

    before: int
    between: int
    behind: int
    prefix: Ids
    suffix: Ids

    def apart(self, input_ids: Ids, second_start: int) -> tuple[Ids, Ids]:
        """Ids of both texts of a pair in the form of single texts.

        They are those that `Encoder.encode` gives, but where the pair was cut: then each text is as short as there.
        """
        end = len(input_ids) - self.behind
        start = min(second_start, end)  # of a second text without tokens, `second_start` is the number of all ids
        return self._single(input_ids[self.before : start - self.between]), self._single(input_ids[start:end])

    def _single(self, ids: Ids) -> Ids:
        return np.concatenate([self.prefix, ids, self.suffix])


def read_pair_form(directory: str) -> PairForm:
    """The form of the tokenizer in a directory, path or URI, found by trying a word.

    Raises:
        AgreedError: the tokenizer gives no tokens for its own words.
    """
    tokenizer = Tokenizer.from_str(storage.read_bytes(storage.join(directory, "tokenizer.json")).decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for word in ("a", *islice(sorted(tokenizer.get_vocab()), _TRIED_WORDS)):
        single, pair = tokenizer.encode(word), tokenizer.encode(word, word)
        if 0 in single.sequence_ids and {0, 1} <= set(pair.sequence_ids):
            begin, end = _span(single, 0)
            first, second = _span(pair, 0), _span(pair, 1)
            return PairForm(
                before=first[0],
                between=second[0] - first[1],
                behind=len(pair.ids) - second[1],
                prefix=np.array(single.ids[:begin], np.int32),
                suffix=np.array(single.ids[end:], np.int32),
            )
    raise AgreedError(
        f"{directory}: found a tokenizer that gives no tokens for words of its own vocabulary, expected some; "
        "give another preprocess.tokenizer"
    )


def _span(encoding: Encoding, text: int) -> tuple[int, int]:
    """Where the tokens of a text begin and end."""
    places: list[Any] = [place for place, own in enumerate(encoding.sequence_ids) if own == text]
    return places[0], places[-1] + 1
