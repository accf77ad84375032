"""A decoder that writes drafts, loaded once in a Python worker: prompts in, what continues them out.

It is a published model of task clm, which replays its golden rows, or a plain directory of transformers, which has
none: that one is held against its own fingerprint, and against itself, token by token and in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from mapring import local_copies
from mapring.contract import is_published
from mapring.errors import StageError, in_one_line
from mapring.lineage import decoder_fingerprint
from mapring.settings.answers import Generation
from spark_jobs.modes.causal import TorchCausal
from spark_jobs.modes.generation import Continued, Generator
from spark_jobs.predictor import GOLDEN_TOLERANCE, Predictor
from spark_jobs.task_device import say_unused, task_device, task_threads

_CACHE = Path.home() / ".cache" / "mapring"
_LONGEST_PROMPT = 131_072  # tokens, of a decoder whose configuration names no limit
_TRIAL_TOKENS = 8


class Decoder:
    """A decoder with its tokenizer, tried before its first prompt.

    Args:
        directory: where it is published, or a transformers directory with a tokenizer.json.
        fingerprint: that of the plan, `mapring.lineage.decoder_fingerprint`.
        threads: what the task may use.
        batch_tokens: tokens of one batch, prompts and what they may become.

    Raises:
        PublishedError: it is published and damaged, or gives other numbers here than where it was trained.
        StageError: it is another one than the plan's, or none that writes token by token.
    """

    def __init__(self, directory: str, fingerprint: str, threads: int, batch_tokens: int) -> None:
        found = decoder_fingerprint(directory)
        if found != fingerprint:
            raise StageError(
                f"{directory}: found the decoder {found}, expected {fingerprint}, with which this run began; it was "
                "changed meanwhile, or is another one on this host: run again, or copy it anew"
            )
        self.fingerprint = fingerprint
        self._predictor: Predictor | None = None
        if is_published(directory):
            self._predictor = Predictor(directory, threads=threads, batch_tokens=batch_tokens)
            self._generator = self._predictor.generator
        else:
            self._generator = _plain_generator(directory, fingerprint, threads, batch_tokens)

    def normalize(self, prompts: Sequence[str]) -> list[str]:
        """Prompts as the decoder's own texts were normalized; of a plain directory as they are."""
        if self._predictor is None:
            return list(prompts)
        found: list[str] = self._predictor.normalize(pa.array(prompts, pa.string())).to_pylist()
        return found

    def __call__(self, prompts: Sequence[str], settings: Generation) -> Continued:
        """Continue normalized prompts, as mode generate does; one that is too long fails and is not cut."""
        return self._generator(prompts, settings)


def _plain_generator(directory: str, fingerprint: str, threads: int, batch_tokens: int) -> Generator:
    local = local_copies.localize(directory, _CACHE, fingerprint)
    try:
        backend = TorchCausal(local, threads)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise StageError(
            f"{directory}: transformers loads no decoder from it ({in_one_line(error)}); copy it again, or give another"
        ) from None
    limit = int(getattr(backend.model.config, "max_position_embeddings", 0) or 0)
    generator = Generator(backend, local, limit or _LONGEST_PROMPT, batch_tokens)
    trial = np.arange(1, 1 + _TRIAL_TOKENS)[None] % backend.width  # (1, T), whatever they stand for
    whole = backend.logits(trial, np.ones_like(trial))
    try:
        steps = generator.middle_logits(trial.tolist())
    except TypeError as error:
        raise StageError(f"{directory}: {error}, expected a decoder that writes token by token; give one") from None
    difference = float(np.abs(steps - whole).max())
    if not difference <= GOLDEN_TOLERANCE * max(1.0, float(np.abs(whole).max())):
        raise StageError(
            f"{directory}: found other logits token by token than in one pass (difference {difference:.2g}), expected "
            "a decoder, whose tokens see none behind them; give one"
        )
    return generator


@lru_cache(maxsize=1)  # a worker that outlives a change of decoder must not keep both
def _load_decoder(directory: str, fingerprint: str, threads: int, batch_tokens: int) -> Decoder:
    say_unused(task_device(), "decoders that write drafts")
    return Decoder(directory, fingerprint, threads, batch_tokens)


def load_task_decoder(directory: str, fingerprint: str, batch_tokens: int) -> Decoder:
    """The decoder of this Python worker, on the task's threads: loaded at the first call, then reused."""
    return _load_decoder(directory, fingerprint, task_threads(), batch_tokens)
