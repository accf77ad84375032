"""Recheck published directories: one, all of a run directory, or all of a pipeline's."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mapring import storage
from mapring.base_model import decoder_directory
from mapring.contract import RECORD_NAME, is_published
from mapring.contract.retired import is_half_removed
from mapring.contract.verify import verify
from mapring.errors import PublishedError
from mapring.scores.seal import sealed_versions
from mapring.scores.verify import verify_scores
from mapring.settings import Settings, load_settings

_KINDS = ("shards", "models", "backends", "banks", "rankers", "ranked", "recommendations", "pairs")


def verify_target(target: str) -> None:
    """Verify a pipeline's YAML, a run directory, a published directory or a scores table; one line for each.

    Of a pipeline also the published model that writes its drafts, wherever that is.

    Raises:
        PublishedError: something is damaged, or there is nothing to verify.
    """
    checked = damaged = 0
    for directory, problems in _check_all(target):
        checked += 1
        damaged += bool(problems)
        sys.stdout.write("".join(f"{problem}\n" for problem in problems) or f"{directory}: ok\n")
    if not checked:
        raise PublishedError(
            f"{target}: found nothing published there; give a pipeline's YAML, a run directory or a published directory"
        )
    if damaged:
        raise PublishedError(f"{damaged} of {checked} published directories are damaged")


def _check_all(target: str) -> Iterator[tuple[str, list[str]]]:
    if target.endswith((".yaml", ".yml")):
        settings = load_settings(target)
        target = settings.run_dir
        yield from _check_decoder(settings)
    if storage.exists(storage.join(target, RECORD_NAME)) or _holds_manifest(target):
        yield target, verify(target)
        return
    if _is_table(target):
        yield target, verify_scores(target)
        return
    for directory in _published_below(target):
        yield directory, verify(directory)
    scores = storage.join(target, "scores")
    if _is_table(scores):
        yield scores, verify_scores(scores, target)
    elif storage.exists(storage.join(scores, "data")):
        sys.stdout.write(
            f"{scores}: has files and no log, as a first scoring that did not come to its end leaves it; nothing reads "
            "them. If there was a table, bring back its _delta_log from a copy\n"
        )


def _is_table(uri: str) -> bool:
    """Whether a scores table stands there, or stood there: its seals outlive a log that is lost."""
    return storage.exists(storage.join(uri, "_delta_log")) or bool(sealed_versions(uri))


def _check_decoder(settings: Settings) -> Iterator[tuple[str, list[str]]]:
    """Recheck a published model that writes drafts, unless it is found below the run directory anyway."""
    if settings.score is None or settings.score.draft is None:
        return
    directory = decoder_directory(settings.score.draft.model)
    if is_published(directory) and not directory.startswith(storage.join(settings.run_dir, "")):
        yield directory, verify(directory)


def _published_below(run_dir: str) -> Iterator[str]:
    for kind in _KINDS:
        for name in storage.list_names(storage.join(run_dir, kind)):
            directory = storage.join(run_dir, kind, name)
            if is_half_removed(directory):
                sys.stdout.write(f"{directory}: half removed; `mapring vacuum` removes what is left\n")
            elif storage.exists(storage.join(directory, RECORD_NAME)) or _holds_manifest(directory):
                yield directory
            else:
                sys.stdout.write(f"{directory}: an attempt that was not published; nothing reads it\n")
    training = storage.join(run_dir, "training")
    for name in storage.list_names(training):
        checkpoints = storage.join(training, name, "checkpoints")
        for step in storage.list_names(checkpoints):
            directory = storage.join(checkpoints, step)
            if storage.exists(storage.join(directory, RECORD_NAME)):
                yield directory


def _holds_manifest(directory: str) -> bool:
    """Whether a manifest stands there; without its record that is a damage, or a kill right between the two."""
    return any(name.startswith("manifest-") for name in storage.list_names(directory))
