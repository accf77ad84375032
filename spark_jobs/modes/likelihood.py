"""How probable texts are to a causal language model: perplexity, from the tokens that its evaluation counts, too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spark_jobs.backends.interface import Ids
from spark_jobs.modes.causal import CausalBackend

_TOKENS = 32  # of a row at a time: float64 of 150,000 words takes 1.2 MB a token, and there are three of it


class Likelihoods:
    """A language model as one that puts out a number for each row: the mean negative log likelihood of its tokens."""

    def __init__(self, model: CausalBackend) -> None:
        self._model = model
        self.padding_id = model.padding_id

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> npt.NDArray[np.float32]:
        """In nats, (B, 1), over all tokens of a row but its first; rows of one token have none, which is NaN."""
        predicted = self._model.next_tokens(input_ids, attention_mask, token_type_ids)  # (B, T, V)
        means = np.full((len(input_ids), 1), np.nan, np.float32)
        for row, length in enumerate(attention_mask.sum(1).tolist()):
            if length < 2:
                continue
            parts = [slice(start, min(start + _TOKENS, length - 1)) for start in range(0, length - 1, _TOKENS)]
            losses = [_losses(predicted[row, part], input_ids[row, part.start + 1 : part.stop + 1]) for part in parts]
            means[row] = np.concatenate(losses).mean()
        return means


def _losses(logits: npt.NDArray[np.float32], tokens: Ids) -> npt.NDArray[np.float64]:
    """Negative log likelihoods (t,) of the tokens (t,) that stand behind those of the logits (t, V)."""
    exact = logits.astype(np.float64)
    largest = exact.max(axis=1)
    totals: npt.NDArray[np.float64] = largest + np.log(np.exp(exact - largest[:, None]).sum(axis=1))
    return totals - exact[np.arange(len(tokens)), tokens]
