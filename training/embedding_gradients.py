"""Gradients of embeddings, of which a batch touches few rows: only those are sent, scaled and cleared.

Half of a small encoder's parameters are embeddings: 30,522 rows, of which a batch of 128 sentences touches some 1,500.
The gradients of the others are zeros on every rank, and to sum zeros takes as long as to sum anything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

_LEAST_ELEMENTS = 1 << 20  # 4 MiB of fp32; below, a second message takes longer than what it spares
_MOST_ROWS = 0.5  # share of rows; above, a copy of them costs what it spares


class EmbeddingGradient:
    """The gradient of an embedding of R rows and C columns: `whole`, which its weight's `.grad` is from now on."""

    def __init__(self, embedding: nn.Embedding) -> None:
        self.whole = torch.zeros_like(embedding.weight, requires_grad=False)
        embedding.weight.grad = self.whole
        self._rows: torch.Tensor | None = None  # the only ones that are not zero, None where any may be
        self._packed = self.whole.view(-1)

    def row_maxima(self) -> torch.Tensor:
        """The largest absolute value of each row, (R,): 0 where nothing was added, NaN where there is one.

        By the highest and the lowest value, 3.5 ms for 47 MB on one core. `abs` first takes 25, a norm by infinity 33,
        and the Euclidean one finds 0 for rows of 1e-23.
        """
        return torch.maximum(self.whole.amax(1), -self.whole.amin(1))

    def choose(self, touched: torch.Tensor) -> None:
        """Let `packed` hold the touched rows, or all where half of them are.

        Args:
            touched: of shape (R,), 0 for rows that are zero on every rank.
        """
        rows = touched.nonzero().squeeze(1)
        self._rows = rows if len(rows) <= _MOST_ROWS * len(self.whole) else None
        self._packed = self.whole.view(-1) if self._rows is None else self.whole[self._rows].view(-1)

    @property
    def packed(self) -> torch.Tensor:
        """The chosen rows, one behind the other: a copy, which `put_back` writes to where it is from."""
        return self._packed

    def put_back(self) -> None:
        """Write the chosen rows to the gradient, after they have been changed in place."""
        if self._rows is not None:
            self.whole.index_copy_(0, self._rows, self._packed.view(-1, self.whole.shape[1]))

    def zero(self) -> None:
        """Set all to 0, of which only what was chosen last can be anything else."""
        if self._rows is None:
            self.whole.zero_()
        else:
            self.whole.index_fill_(0, self._rows, 0.0)
        self._rows, self._packed = None, self.whole.view(-1)


def row_wise_embeddings(model: nn.Module) -> list[nn.Embedding]:
    """Large embeddings that are trained, whose weights nothing else uses, as output layers that are tied to them do."""
    uses = Counter(id(parameter) for module in model.modules() for parameter in module.parameters(recurse=False))
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    return [
        module
        for module in embeddings
        if module.weight.requires_grad
        and not (module.sparse or module.scale_grad_by_freq)
        and uses[id(module.weight)] == 1
        and module.weight.numel() >= _LEAST_ELEMENTS
    ]


@contextmanager
def adding_by_rows(embeddings: Sequence[nn.Embedding]) -> Iterator[None]:
    """Let the gradients of what is looked up meanwhile be added to those rows alone, in place of zeros to all others.

    Of 30,522 rows and 1,700 tokens that takes 3.5 ms in place of 31. What is added is sparse, the gradient that it is
    added to stays dense.
    """
    for embedding in embeddings:
        embedding.sparse = True
    try:
        yield
    finally:
        for embedding in embeddings:
            embedding.sparse = False
