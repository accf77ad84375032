"""How probable texts are to a causal language model: perplexity, from the tokens that its evaluation counts, too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spark_jobs.backends.interface import Ids
from spark_jobs.modes.causal import CausalBackend


class Likelihoods:
    """A language model as one that puts out a number for each row: the mean negative log likelihood of its tokens."""

    def __init__(self, model: CausalBackend) -> None:
        self._model = model
        self.padding_id = model.padding_id

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> npt.NDArray[np.float32]:
        """In nats, (B, 1), over all tokens of a row but its first; rows of one token have none, which is NaN."""
        predicted = self._model.next_tokens(input_ids, attention_mask, token_type_ids)  # (B, T, V)
        means = np.full((len(input_ids), 1), np.nan, np.float32)
        for row, length in enumerate(attention_mask.sum(1).tolist()):  # one at a time: V floats a token are much
            if length < 2:
                continue
            logits = predicted[row, : length - 1].astype(np.float64)  # (T - 1, V)
            largest = logits.max(axis=1)
            totals = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
            own = logits[np.arange(length - 1), input_ids[row, 1:length]]
            means[row] = (totals - own).mean()
        return means
