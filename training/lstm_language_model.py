"""An LSTM that predicts the next token, each document from a state of its own, also where several are in one row."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from training.own_configs import LstmLanguageConfig, Output

_START_RANGE = 0.1  # of embeddings: small, since as an output layer they would else make large first losses


class LstmReader(nn.Module):
    """Reads documents forwards; what it has read of one is forgotten where the next begins."""

    def __init__(self, config: LstmLanguageConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        nn.init.uniform_(self.embedding.weight, -_START_RANGE, _START_RANGE)
        sizes = [config.embedding_size, *[config.hidden_size] * (config.num_layers - 1)]
        self.layers = nn.ModuleList(nn.LSTM(size, config.hidden_size) for size in sizes)
        self.dropout = nn.Dropout(config.dropout)  # between layers, never from step to step (Zaremba et al. 2014)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor | None = None
    ) -> tuple[torch.Tensor]:
        """Hidden states (B, T, H), 0 at padding.

        Args:
            input_ids: shape (B, T).
            attention_mask: 0 at padding, which is behind each row's tokens; (B, T).
            position_ids: each token's place in its document, (B, T); None where every row is one document.
        """
        is_token = attention_mask.bool()
        positions = attention_mask.cumsum(1) - 1 if position_ids is None else position_ids
        order, at_once = time_major(positions[is_token])
        data = self.dropout(self.embedding(input_ids[is_token][order]))  # (N, E)
        for layer in self.layers:
            data = self.dropout(layer(PackedSequence(data, at_once))[0].data)  # (N, H)
        in_rows = torch.empty_like(data)
        in_rows[order] = data
        hidden = data.new_zeros(*input_ids.shape, data.shape[-1])
        hidden[is_token] = in_rows
        return (hidden,)


class LstmLanguageModel(nn.Module):
    """An LSTM with a layer that gives the logits of the next token.

    Where that shares the embeddings (Press and Wolf 2017), a projection to their size comes before it.
    """

    def __init__(self, config: LstmLanguageConfig) -> None:
        super().__init__()
        self.config = config
        self.reader = LstmReader(config)
        if config.tie_embeddings:
            output = nn.Linear(config.embedding_size, config.vocab_size)
            output.weight = self.reader.embedding.weight
            nn.init.zeros_(output.bias)
            self.lm_head = nn.Sequential(nn.Linear(config.hidden_size, config.embedding_size), output)
        else:
            self.lm_head = nn.Sequential(nn.Linear(config.hidden_size, config.vocab_size))

    @property
    def base_model(self) -> LstmReader:
        """What gives hidden states, by the name that transformers has for it."""
        return self.reader

    def get_input_embeddings(self) -> nn.Module:
        """The table of token embeddings."""
        return self.reader.embedding

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor | None = None
    ) -> Output:
        """Logits (B, T, V); arguments as those of the reader."""
        return Output(self.lm_head(self.reader(input_ids, attention_mask, position_ids)[0]))


def time_major(positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Documents that stand one behind the other, as an LSTM steps through all of them at once, without padding.

    Args:
        positions: each token's place in its document, 0 where one begins; shape (N,).

    Returns:
        The order of the tokens, (N,): all first ones, all second ones and so on, longest documents first; and how
        many documents have a token at each place, (longest,).
    """
    document = (positions == 0).cumsum(0) - 1  # (N,)
    rank = document.bincount().argsort(descending=True, stable=True).argsort()  # (documents,)
    order = (positions * len(rank) + rank[document]).argsort()
    return order, positions.bincount()
