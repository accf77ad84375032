"""The special tokens of the shards' tokenizer, by what they are for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from mapring import storage

_USUAL = {
    "pad": ("[PAD]", "<pad>"),
    "mask": ("[MASK]", "<mask>"),
    "bos": ("<s>", "[CLS]"),
    "eos": ("</s>", "<|endoftext|>", "[SEP]"),
}


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """Ids of the special tokens, None where there is none, and the size of the vocabulary."""

    pad: int | None
    mask: int | None
    bos: int | None
    eos: int | None
    all_ids: frozenset[int]
    vocabulary: Mapping[str, int]

    @property
    def vocabulary_size(self) -> int:
        """Number of ids that a model must have an embedding for."""
        return max(self.vocabulary.values(), default=-1) + 1


def read_special_tokens(directory: str) -> SpecialTokens:
    """Read a tokenizer's directory: what its configuration names, else what the usual tokens are."""
    tokenizer = Tokenizer.from_str(storage.read_bytes(storage.join(directory, "tokenizer.json")).decode())
    config = storage.join(directory, "tokenizer_config.json")
    named: dict[str, Any] = json.loads(storage.read_bytes(config)) if storage.exists(config) else {}

    def find(purpose: str) -> int | None:
        value = named.get(f"{purpose}_token")
        token = value.get("content") if isinstance(value, dict) else value
        candidates = [token] if isinstance(token, str) else _USUAL[purpose]
        ids = (tokenizer.token_to_id(name) for name in candidates)
        return next((number for number in ids if number is not None), None)

    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    found = {purpose: find(purpose) for purpose in _USUAL}
    special |= {number for number in found.values() if number is not None}
    return SpecialTokens(all_ids=frozenset(special), vocabulary=tokenizer.get_vocab(), **found)
