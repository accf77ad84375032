"""Embeddings of texts, learned from pairs that belong together by contrast with others (InfoNCE).

Of each text the mean of its tokens' last hidden states, of length 1. In a group of pairs, each first text is to find
its second among the group's seconds, and each second its first (van den Oord et al. 2018; negatives from the same
batch: Henderson et al. 2017). A group is the rows of one lane in a global batch, which are train.global_batch /
preprocess.lanes: were it all rows that a rank has, the loss would depend on the number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.exact_sums import fixed_point, mean_loss, pieces_of_split
from training.figures.retrieval import blocks_of_ranks, rank_sums, retrieval_figures
from training.model import config_of
from training.padding import cut_groups, padded_rows
from training.reader import Batch
from training.ring import Ring, in_step
from training.rows import Ids
from training.tasks.interface import OnOutput, Piece, ignore
from training.tasks.made_rows import made_batch
from training.tasks.pairs import PairForm


@dataclass(frozen=True)
class Embedding:
    """Pairs of texts that belong together. A loss is a sum over the pairs that have others in their group.

    Args:
        form: of the tokenizer, to take the texts of a pair apart.
        group_rows: most pairs of a group.
        temperature: of the similarities, cosines, which are divided by it.
    """

    form: PairForm
    group_rows: int
    temperature: float
    name = "embed"
    auto_class = "AutoModel"
    exports_onnx = True
    output_name = "embedding"
    texts_apart = True

    @property
    def labels(self) -> list[str]:
        """There are none."""
        return []

    def model_settings(self) -> dict[str, Any]:
        """Nothing: an embedding has the model's own width."""
        return {}

    def prepare(self, model: nn.Module) -> None:
        """Nothing to change."""

    def finish(self, model: nn.Module) -> None:
        """Nothing to change back."""

    def output(self, model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Embeddings (B, H), fp32, of length 1."""
        hidden = model(**inputs).last_hidden_state.float()  # (B, T, H)
        mask = inputs["attention_mask"].unsqueeze(-1).float()
        return functional.normalize((hidden * mask).sum(1) / mask.sum(1).clamp(min=1), dim=-1)

    def pieces(self, batch: Batch, model: nn.Module, _epoch: int, max_tokens: int) -> Iterator[Piece]:
        """Whole groups; `input_ids` are those of B first texts, then of B seconds; the target is `groups`, (B,).

        A group with more than `max_tokens` cells makes a piece of its own.
        """
        groups = list(self._groups(batch))
        pairs = [
            [self.form.apart(batch.input_ids[row], int(batch.second_starts[row])) for row in rows] for rows in groups
        ]
        widths = [max(len(text) for pair in own for text in pair) for own in pairs]
        for part in cut_groups([2 * len(rows) for rows in groups], widths, max_tokens):
            numbers = range(len(groups))[part]
            yield _piece(
                model,
                [row for number in numbers for row in groups[number]],
                [number for number in numbers for _ in groups[number]],
                [pair for number in numbers for pair in pairs[number]],
            )

    def settle(self, model: nn.Module, piece: Piece) -> None:
        """Nothing to choose."""

    def loss(self, model: nn.Module, piece: Piece) -> tuple[torch.Tensor, float]:
        """Mean of both directions' cross entropies, summed over pairs that have others in their group; their number."""
        return self._loss(self.output(model, piece.inputs), piece)

    def sample_batch(self, rows: int, length: int, vocabulary: int) -> Batch:
        """Pairs of a long first and a short second text; at least two, in one group."""
        rows = max(2, rows)
        return made_batch(
            rows,
            length,
            vocabulary,
            second_starts=np.full(rows, length - self.form.behind - 1, np.int64),
            lane_rows=[rows],
        )

    def evaluate(
        self,
        model: nn.Module,
        ring: Ring,
        shards_directory: str,
        split: str,
        _temperature: float | None = None,
        on_output: OnOutput = ignore,
    ) -> dict[str, Any]:
        """`rows`, `loss`, and how far up first texts find their second among all seconds of the split.

        A second text that occurs twice counts against the model. Every rank holds the embeddings of all seconds.
        """
        firsts: list[Any] = []
        seconds: list[Any] = []
        units, weight = 0, 0.0
        for _, piece in pieces_of_split(self, model, ring, shards_directory, split):
            embeddings = self.output(model, piece.inputs)  # (2 B, H)
            on_output(embeddings.cpu())
            first, second = embeddings.chunk(2)
            firsts.append(first.cpu().numpy())
            seconds.append(second.cpu().numpy())
            loss, count = self._loss(embeddings, piece)
            units += fixed_point(loss)
            weight += count
        none = np.zeros((0, int(config_of(model).hidden_size)), np.float32)
        queries, own = np.concatenate([none, *firsts]), np.concatenate([none, *seconds])
        gathered = ring.allgather_object(own)
        before = sum(len(documents) for documents in gathered[: ring.rank])
        documents = np.concatenate(gathered)
        blocks = in_step(ring, blocks_of_ranks(queries, documents, before + np.arange(len(queries))))
        sums = torch.from_numpy(sum((rank_sums(block) for block in blocks), rank_sums([])))
        losses = torch.tensor([units, int(weight)], dtype=torch.int64)
        ring.allreduce_sum([sums, losses])
        return {
            "rows": len(documents),
            "loss": mean_loss(int(losses[0]), int(losses[1])),
            **retrieval_figures(sums.numpy()),
        }

    def _groups(self, batch: Batch) -> Iterator[list[int]]:
        """Numbers of the rows of each group, lane by lane."""
        start = 0
        for count in batch.lane_rows:
            for first in range(start, start + count, self.group_rows):
                yield list(range(first, min(first + self.group_rows, start + count)))
            start += count

    def _loss(self, embeddings: torch.Tensor, piece: Piece) -> tuple[torch.Tensor, float]:
        """From embeddings (2 B, H)."""
        groups = piece.targets["groups"]
        same = groups[:, None] == groups[None, :]  # (B, B)
        first, second = embeddings.float().chunk(2)
        similarities = (first @ second.T / self.temperature).masked_fill(~same, float("-inf"))
        own, has_others = torch.arange(len(groups), device=groups.device), same.sum(1) > 1
        forth = functional.cross_entropy(similarities, own, reduction="none")
        back = functional.cross_entropy(similarities.T, own, reduction="none")
        return ((forth + back) / 2)[has_others].sum(), float(has_others.sum())


def _piece(model: nn.Module, rows: list[int], groups: list[int], texts: list[tuple[Ids, Ids]]) -> Piece:
    """Both texts of pairs, firsts before seconds, padded to one width."""
    ids = [first for first, _ in texts] + [second for _, second in texts]
    cells = len(ids) * max(len(text) for text in ids)
    (padded,) = padded_rows(ids, config_of(model).pad_token_id, cells)
    back = torch.from_numpy(np.argsort(padded.rows))  # they come sorted by length
    return Piece(
        rows=np.array(rows, np.int64),
        inputs={"input_ids": padded.input_ids[back], "attention_mask": padded.attention_mask[back]},
        targets={"groups": torch.tensor(groups)},
        tokens=int(padded.attention_mask.sum()),
    )
