"""Language models: masked tokens from both sides (mlm), or the next token from those before (clm)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.batches import Integers
from training.exact_sums import pieces_of_split
from training.figures.language import language_figures, likelihood_sums
from training.heads import choose_head, logits_at
from training.lstm_language_model import LstmLanguageModel
from training.model import config_of
from training.padding import PaddedRows, padded_rows
from training.reader import Batch
from training.ring import Ring
from training.rows import Ids
from training.tasks.documents import attention_between, document_numbers, restarting_positions
from training.tasks.interface import LogitsOfRows, OnOutput, Piece, ignore
from training.tasks.made_rows import made_batch
from training.tasks.masking import Masking
from training.tasks.pairs import token_types


class _LanguageModel(LogitsOfRows, ABC):
    """What both kinds share. A loss is a sum over predicted tokens."""

    _is_causal: bool

    @property
    @abstractmethod
    def name(self) -> str:
        """As train.task has it."""

    @property
    @abstractmethod
    def auto_class(self) -> str:
        """The class of transformers that loads such a model."""

    @property
    @abstractmethod
    def exports_onnx(self) -> bool:
        """Decoders are served by their own directory."""

    @property
    def labels(self) -> list[str]:
        """There are none."""
        return []

    def model_settings(self) -> dict[str, Any]:
        """Nothing: the vocabulary is the model's own."""
        return {}

    def pieces(self, batch: Batch, model: nn.Module, epoch: int, max_tokens: int) -> Iterator[Piece]:
        """Rows of similar length; the targets are `where`, bool (B, T), and the `tokens` that belong there, (N,)."""
        for padded in padded_rows(batch.input_ids, config_of(model).pad_token_id, max_tokens):
            if not padded.input_ids.shape[1]:
                continue  # rows without tokens, of which nothing is predicted
            numbers = _documents(batch, padded)
            ids, where, tokens = self._targets(batch, padded, numbers, epoch)
            yield Piece(
                rows=padded.rows,
                inputs={
                    "input_ids": ids,
                    **self._attention(batch, padded, numbers, model),
                    **token_types(batch, padded, model),
                },
                targets={"where": where, "tokens": tokens},
                tokens=int(padded.attention_mask.sum()),
            )

    def settle(self, model: nn.Module, piece: Piece) -> None:
        """Choose how logits are made."""
        choose_head(model, piece.inputs, piece.targets["where"])

    def loss(self, model: nn.Module, piece: Piece) -> tuple[torch.Tensor, float]:
        """Cross entropy of the predicted tokens, and their number."""
        tokens = piece.targets["tokens"]
        logits = logits_at(model, piece.inputs, piece.targets["where"])  # (N, V)
        return functional.cross_entropy(logits.float(), tokens, reduction="sum"), float(len(tokens))

    def sample_batch(self, rows: int, length: int, vocabulary: int) -> Batch:
        """Rows of one document each."""
        return made_batch(rows, length, vocabulary)

    def evaluate(
        self,
        model: nn.Module,
        ring: Ring,
        shards_directory: str,
        split: str,
        _temperature: float | None = None,
        _on_output: OnOutput = ignore,
    ) -> dict[str, Any]:
        """`rows`, top-1 `accuracy`, and `language_figures`: predicted `tokens`, `loss` (nats a token), `perplexity`.

        A row of `infinite_rows` is a piece here. Bytes are not known: shards hold no text of packed sequences.
        """
        counts = torch.zeros(2, dtype=torch.int64)  # rows, tokens predicted right
        sums = np.zeros(4, np.int64)
        for _, piece in pieces_of_split(self, model, ring, shards_directory, split):
            tokens = piece.targets["tokens"]
            logits = logits_at(model, piece.inputs, piece.targets["where"]).float()  # (N, V)
            counts[0] += len(piece.inputs["input_ids"])
            counts[1] += int((logits.argmax(-1) == tokens).sum())
            sums += likelihood_sums(
                [float(functional.cross_entropy(logits, tokens, reduction="sum"))], [len(tokens)], [0]
            )
        ring.allreduce_sum([counts, torch.from_numpy(sums)])
        found, (rows, right) = language_figures(sums), counts.tolist()
        return {"rows": rows, "accuracy": right / found["tokens"] if found["tokens"] else None, **found}

    @abstractmethod
    def _targets(
        self, batch: Batch, padded: PaddedRows, numbers: Integers, epoch: int, /
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids, at which cells something is predicted, and what should be."""

    def _attention(
        self, batch: Batch, padded: PaddedRows, numbers: Integers, model: nn.Module
    ) -> dict[str, torch.Tensor]:
        if not batch.starts:
            return {"attention_mask": padded.attention_mask}
        forgets = isinstance(model, LstmLanguageModel)  # where positions restart, and pays attention to nothing else
        return {
            "attention_mask": padded.attention_mask if forgets else attention_between(numbers, causal=self._is_causal),
            "position_ids": torch.from_numpy(restarting_positions(numbers, first_position(model))),
        }


@dataclass(frozen=True)
class MaskedLanguageModel(_LanguageModel):
    """Predicts the tokens that `masking` hides."""

    masking: Masking
    name = "mlm"
    auto_class = "AutoModelForMaskedLM"
    exports_onnx = True
    _is_causal = False

    def _targets(
        self, batch: Batch, padded: PaddedRows, _numbers: Integers, epoch: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        ids = padded.input_ids.clone()
        where = torch.zeros(ids.shape, dtype=torch.bool)
        for line, row in enumerate(padded.rows.tolist()):
            own = batch.input_ids[row]
            hidden, places = self.masking(own, batch.doc_ids[row], epoch)
            ids[line, : len(own)] = torch.from_numpy(hidden.astype(np.int64))
            where[line, torch.from_numpy(places)] = True
        return ids, where, padded.input_ids[where]


@dataclass(frozen=True)
class CausalLanguageModel(_LanguageModel):
    """Predicts every token but a document's first from those before it in the document."""

    name = "clm"
    auto_class = "AutoModelForCausalLM"
    exports_onnx = False  # decoders are served by their own directory
    _is_causal = True

    def _targets(
        self, _batch: Batch, padded: PaddedRows, numbers: Integers, _epoch: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        goes_on = (numbers[:, 1:] == numbers[:, :-1]) & (numbers[:, 1:] >= 0)  # (B, T - 1)
        where = torch.zeros(padded.input_ids.shape, dtype=torch.bool)
        where[:, :-1] = torch.from_numpy(goes_on)
        return padded.input_ids, where, padded.input_ids[:, 1:][where[:, :-1]]


def first_position(model: nn.Module) -> int:
    """The position of a text's first token: RoBERTa and its like count from behind that of padding."""
    tables = (module for name, module in model.named_modules() if name.endswith("position_embeddings"))
    padding = next((getattr(table, "padding_idx", None) for table in tables), None)
    return 0 if padding is None else int(padding) + 1


def _documents(batch: Batch, padded: PaddedRows) -> Integers:
    """The document of each cell, (B, T), -1 for padding."""
    lengths = padded.attention_mask.sum(1).numpy()
    none: list[Ids] = [np.zeros(1, np.int32)] * len(padded.rows)
    starts = [batch.starts[row] for row in padded.rows.tolist()] if batch.starts else none
    return document_numbers(starts, lengths, padded.input_ids.shape[1])
