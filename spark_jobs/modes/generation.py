"""Texts continued token by token by a decoder, in batches of equal length with cached keys and values.

Rows that share a batch have prompts of one length, so nothing is padded, and no architecture must know of padding on
the left. A row is drawn with random numbers that belong to its text, so what it becomes does not depend on the rows
beside it, but for the rounding of sums, which another batch may order otherwise: two tokens whose logits differ by
less than that can change places.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mapring.settings.answers import Generation
from mapring.text import Encoder
from spark_jobs.forward import NO_TOKENS, Passes, TokenBudget
from spark_jobs.modes.causal import TorchCausal

END, STOP, LENGTH = "end", "stop", "length"  # the model said so; a stop string; max_new_tokens or the model's length

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Continued:
    """Of each text what was added, the number of tokens of that, and why it ended: end, stop or length."""

    texts: list[str]
    tokens: list[int]
    finishes: list[str]
    passes: Passes


class Generator:
    """A decoder with its tokenizer and a token budget, of which a row takes its prompt and all it may become."""

    def __init__(self, backend: TorchCausal, tokenizer: Path, max_length: int, batch_tokens: int) -> None:
        self._model = backend.model
        self._encoder = Encoder(tokenizer, max_length + 1)  # one more, to see what is too long
        self._max_length = max_length
        self._budget = TokenBudget(batch_tokens)
        self._ends = _end_ids(self._model) | self._encoder.special_ids
        # Of a prompt's tokens only the last one's logits are read; of 2,048 with 150,000 words each all take 1.2 GB.
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in signature(self._model.forward).parameters else {}
        self._room = int(getattr(self._model.config, "max_position_embeddings", 0) or 2**31)

    def __call__(self, texts: Sequence[str], settings: Generation) -> Continued:
        """Continue normalized texts; a prompt of more than `max_length` tokens fails, rather than to lose its end."""
        encoded = self._encoder.encode(texts)
        prompts = [self._prompt(ids) for ids in encoded]
        too_long = f"the text has more than the {self._max_length} tokens that the model was trained with"
        failures = {row: too_long for row, ids in enumerate(encoded) if len(ids) > self._max_length}
        failures |= {row: NO_TOKENS for row, ids in enumerate(prompts) if not ids}
        full = f"the text leaves no room in the {self._room} tokens that the model reads at most"
        failures |= {row: full for row, ids in enumerate(prompts) if len(ids) >= self._room and row not in failures}
        rows = [row for row in range(len(texts)) if row not in failures]
        found = [""] * len(texts), [0] * len(texts), [LENGTH] * len(texts)

        def compute(batch: list[int]) -> dict[int, str]:
            own = [rows[place] for place in batch]
            written = self._continue([prompts[row] for row in own], [texts[row] for row in own], settings)
            failed = {}
            for place, row, line in zip(batch, own, written, strict=True):
                if line.failure is not None:
                    failed[place] = line.failure
                found[0][row], found[1][row], found[2][row] = line.text(self._encoder), len(line.ids), line.finish
            return failed

        lengths = [len(prompts[row]) + settings.max_new_tokens for row in rows]
        passes = self._budget.run(lengths, compute, equal_lengths=True)
        failures |= {rows[place]: reason for place, reason in passes.failures.items()}
        return Continued(*found, Passes(failures, passes.tokens, passes.padded_tokens))

    def middle_logits(self, rows: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Logits (N, V) at `length // 2` of each row, by a step from what is kept of the tokens before: as it writes.

        Rows have at least two tokens.
        """
        import torch

        found = []
        with torch.inference_mode():
            for row in rows:
                middle = len(row) // 2
                before = self._step(torch.tensor([row[:middle]]), middle, None)
                step = torch.tensor([row[middle : middle + 1]])
                after = self._step(step, middle + 1, _kept(before, self._model))
                found.append(after.logits[0, -1].float().numpy())
        return np.stack(found)

    def _step(self, given: Any, length: int, cache: Any) -> Any:
        """A pass over new tokens (B, t) behind what `cache` keeps; rows then have `length` tokens and no padding."""
        mask = given.new_ones(len(given), length)
        return self._model(
            input_ids=given, attention_mask=mask, past_key_values=cache, use_cache=True, **self._last_only
        )

    def _prompt(self, ids: Sequence[int]) -> list[int]:
        """Ids without what the tokenizer puts behind a text, which says that it ends."""
        end = len(ids)
        while end and ids[end - 1] in self._encoder.special_ids and end > 1:
            end -= 1
        return list(ids[:end])

    def _continue(self, prompts: Sequence[list[int]], texts: Sequence[str], settings: Generation) -> list[_Line]:
        """What becomes of prompts of one length; the batch ends with its last row."""
        import torch

        lines = [_Line(text, settings) for text in texts]
        given, cache = torch.tensor(prompts), None  # (B, T)
        with torch.inference_mode():
            for step in range(min(settings.max_new_tokens, self._room - len(prompts[0]))):
                output = self._step(given, len(prompts[0]) + step, cache)
                cache = _kept(output, self._model)
                logits = output.logits[:, -1].float().numpy()  # (B, V)
                for line, row in zip(lines, logits, strict=True):
                    line.take(row, self._ends, self._encoder)
                if all(line.is_done for line in lines):
                    break
                given = torch.tensor([[line.last] for line in lines])
        return lines


class _Line:
    """One row while it is written."""

    def __init__(self, text: str, settings: Generation) -> None:
        self.ids: list[int] = []
        self.finish = LENGTH
        self.failure: str | None = None
        self.is_done = False
        self.last = 0
        self._settings = settings
        self._stopped: str | None = None
        digest = hashlib.blake2b(f"{settings.seed}\0{text}".encode(), digest_size=16).digest()
        self._chance = np.random.Generator(np.random.Philox(key=int.from_bytes(digest)))

    def take(self, logits: npt.NDArray[np.float32], ends: frozenset[int], encoder: Encoder) -> None:
        """Add the next token, chosen by its logits (V,), or end; a row that has ended takes nothing more."""
        if self.is_done:
            return
        if not np.isfinite(logits).all():
            self.failure, self.is_done = "logits are not finite", True
            return
        settings = self._settings
        self.last = int(logits.argmax()) if settings.temperature == 0 else draw(logits, settings, self._chance.random())
        if self.last in ends:
            self.finish, self.is_done = END, True
            return
        self.ids.append(self.last)
        written = encoder.decode(self.ids) if settings.stop else ""
        places = [place for place in (written.find(stop) for stop in settings.stop) if place >= 0]
        if places:
            self._stopped = written[: min(places)]
            self.finish, self.is_done = STOP, True

    def text(self, encoder: Encoder) -> str:
        """What was written, without the stop string."""
        return encoder.decode(self.ids) if self._stopped is None else self._stopped


def draw(logits: npt.NDArray[np.float32], settings: Generation, chance: float) -> int:
    """The token at which the summed probabilities, in the order of ids, pass `chance`, from 0 to 1.

    The order of ids and not of probabilities, which rounding could change: so it moves a bound by as little as itself.
    """
    below = logits.astype(np.float64) - logits.max()  # before it is divided, which may be by next to nothing
    with np.errstate(over="ignore"):
        probabilities: Floats = np.exp(below / settings.temperature)
    probabilities /= probabilities.sum()
    if settings.top_k or settings.top_p < 1:
        order = np.argsort(-probabilities, kind="stable")
        kept = settings.top_k or len(order)
        if settings.top_p < 1:
            kept = min(kept, int(np.searchsorted(probabilities[order].cumsum(), settings.top_p)) + 1)
        probabilities[order[kept:]] = 0
    sums = probabilities.cumsum()
    return int(np.searchsorted(sums, chance * sums[-1], side="right"))


def _kept(output: Any, model: Any) -> Any:
    """The keys and values that a pass leaves for the next one."""
    kept = getattr(output, "past_key_values", None)
    if kept is None:
        raise TypeError(f"{type(model).__name__} keeps no keys and values between tokens")
    return kept


def _end_ids(model: Any) -> frozenset[int]:
    """Ids that end a text by the model's own files: one, several or none."""
    found: set[int] = set()
    for config in (model.config, model.generation_config):
        value = config.eos_token_id
        found.update(value if isinstance(value, list | tuple) else [] if value is None else [value])
    return frozenset(found)
