"""Token sequences through a model: sorted, cut by a token budget, and a row that fails fails alone.

Batches of sorted rows pad little. Where memory runs out the budget is halved and the rows go on; where a batch fails
for another reason it is bisected until the rows that do it stand alone, so that one bad row costs no more than
2 log2(B) passes of a batch of B rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from mapring.errors import in_one_line
from mapring.progress import say
from spark_jobs.backends import Backend
from spark_jobs.backends.checked import CheckedBackend

NO_TOKENS = "the text has no tokens"  # of which a runtime may still put out numbers, or never come back
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "failed to allocate memory", "bad_alloc", "bad allocation")


@dataclass(frozen=True)
class Outcome:
    """What became of N sequences.

    `logits` are (N, C), or what else the model puts out for a row, 0 in the rows of `failures`, which tells of a row
    why it has none. `tokens` counts those of the sequences, `padded_tokens` what the model was given for them.
    """

    logits: npt.NDArray[np.float32]
    failures: dict[int, str] = field(default_factory=dict)
    tokens: int = 0
    padded_tokens: int = 0


@dataclass(frozen=True)
class Passes:
    """What came of rows in `TokenBudget.run`: why some failed, and the tokens of those that did not."""

    failures: dict[int, str]
    tokens: int
    padded_tokens: int


class TokenBudget:
    """Rows in batches of at most `batch_tokens`, which shrinks for good where memory runs out."""

    def __init__(self, batch_tokens: int) -> None:
        self.batch_tokens = batch_tokens

    def run(
        self,
        lengths: Sequence[int],
        compute: Callable[[list[int]], dict[int, str]],
        *,
        equal_lengths: bool = False,
    ) -> Passes:
        """Give every row to `compute` in a batch with others; none of them makes this raise.

        Args:
            lengths: tokens of each row.
            compute: is given the numbers of a batch's rows, the longest last, and keeps what comes of them; returns
                the rows that failed without an exception, and why. What it raises is the batch's, which is tried again
                in parts.
            equal_lengths: only rows of one length share a batch.
        """
        failures: dict[int, str] = {}
        tokens = padded = 0
        waiting = [list(range(len(lengths)))]
        while waiting:
            rows = waiting.pop()
            own = [lengths[row] for row in rows]
            for places in token_batches(own, self.batch_tokens, equal_lengths=equal_lengths):
                batch = [rows[place] for place in places]
                size = len(batch) * lengths[batch[-1]]  # sorted: the last row is the longest
                try:
                    failures.update(compute(batch))
                except Exception as error:
                    if len(batch) == 1:
                        failures[batch[0]] = f"{type(error).__name__}: {in_one_line(error)}"
                    else:
                        waiting += self._adjusted(batch, size, error)
                    continue
                tokens += sum(lengths[row] for row in batch)
                padded += size
        return Passes(failures, tokens, padded)

    def _adjusted(self, batch: list[int], size: int, error: Exception) -> list[list[int]]:
        """What to try after a batch failed: all of it with a smaller budget where memory ran out, else its halves."""
        if not _is_out_of_memory(error):
            middle = len(batch) // 2
            return [batch[:middle], batch[middle:]]
        # Half of this batch, not of the budget: several that were cut before it shrank may fail one after the other.
        self.batch_tokens = max(1, min(self.batch_tokens, size // 2))
        say("score", f"a batch of {size:,} tokens ran out of memory: from now on {self.batch_tokens:,} in this worker")
        return [batch]


class Forward:
    """A loaded model with a token budget."""

    def __init__(self, backend: Backend, classes: int, batch_tokens: int) -> None:
        self.budget = TokenBudget(batch_tokens)
        self._backend = backend
        self._classes = classes
        self._exact = Forward(backend.exact, classes, batch_tokens) if isinstance(backend, CheckedBackend) else None

    def __call__(self, sequences: Sequence[Sequence[int]], second_starts: Sequence[int] | None = None) -> Outcome:
        """The logits of all sequences, in the order given; none of them makes it raise.

        `second_starts` are those of pairs: the place of the second text's first token. Of a checked backend close
        rows are computed again, all together, so that they fill batches of their own.
        """
        outcome = self._computed(sequences, second_starts)
        if self._exact is None or not isinstance(self._backend, CheckedBackend):
            return outcome
        close = [row for row in self._backend.close_rows(outcome.logits) if row not in outcome.failures]
        starts = None if second_starts is None else [second_starts[row] for row in close]
        again = self._exact([sequences[row] for row in close], starts)
        outcome.logits[close] = again.logits
        failures = {close[place]: reason for place, reason in again.failures.items()}
        return replace(outcome, failures={**outcome.failures, **failures})

    def _computed(self, sequences: Sequence[Sequence[int]], second_starts: Sequence[int] | None) -> Outcome:
        logits = np.zeros((len(sequences), self._classes), np.float32)

        def compute(batch: list[int]) -> dict[int, str]:
            failures = {row: NO_TOKENS for row in batch if not len(sequences[row])}
            own = [row for row in batch if row not in failures]
            if own:
                starts = None if second_starts is None else [second_starts[row] for row in own]
                found = self._logits([sequences[row] for row in own], starts)  # (B, C)
                logits[own] = found
                failed = [row for row, values in zip(own, found, strict=True) if not np.isfinite(values).all()]
                failures |= dict.fromkeys(failed, "logits are not finite")
            return failures

        passes = self.budget.run([len(sequence) for sequence in sequences], compute)
        logits[list(passes.failures)] = 0
        return Outcome(logits, passes.failures, passes.tokens, passes.padded_tokens)

    def _logits(
        self, sequences: Sequence[Sequence[int]], second_starts: Sequence[int] | None
    ) -> npt.NDArray[np.float32]:
        width = max(map(len, sequences))
        input_ids = np.full((len(sequences), width), self._backend.padding_id, np.int64)  # (B, T)
        attention_mask = np.zeros((len(sequences), width), np.int64)  # (B, T)
        for row, sequence in enumerate(sequences):
            input_ids[row, : len(sequence)] = sequence
            attention_mask[row, : len(sequence)] = 1
        if second_starts is None:
            return self._backend.logits(input_ids, attention_mask)
        # As training/tasks/pairs.py: 1 from the second text's first token to the end, 0 in padding.
        types = (np.arange(width) >= np.array(second_starts)[:, None]) * attention_mask
        return self._backend.logits(input_ids, attention_mask, types)


def token_batches(lengths: Sequence[int], batch_tokens: int, *, equal_lengths: bool = False) -> Iterator[list[int]]:
    """Cut rows into batches of similar, or of equal length whose padded size is at most `batch_tokens`.

    Yields row numbers; every row comes once, and a row longer than the budget comes alone.
    """
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], row))
    batch: list[int] = []
    for row in order:
        is_full = (len(batch) + 1) * lengths[row] > batch_tokens
        if batch and (is_full or (equal_lengths and lengths[row] != lengths[batch[0]])):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _OUT_OF_MEMORY)
