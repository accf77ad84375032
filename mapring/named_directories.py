"""Directories that settings name, checked before a stage starts: models, tokenizers and shards of other pipelines."""

from __future__ import annotations

from mapring import lineage, storage
from mapring.base_model import (
    check_decoder_config,
    decoder_directory,
    named_directory,
    teacher_directory,
    transformers_directory,
)
from mapring.contract import is_published, read_manifest
from mapring.errors import MapringError, PublishedError, SettingsError
from mapring.settings import Settings
from mapring.settings.recommend import Recommend


def check_earlier(config: str, settings: Settings) -> None:
    """Earlier shards must be published, and sketches that compare with this corpus's. Raises SettingsError."""
    wanted = settings.preprocess.duplicates.near.sketch_settings(settings.seed)
    for position, directory in enumerate(settings.preprocess.duplicates.earlier):
        key = f"{config}: preprocess.duplicates.earlier.{position}"
        try:
            found = read_manifest(directory).details.get("sketches")
        except PublishedError as error:
            raise SettingsError(f"{key}: {error}") from None
        if found is None:
            raise SettingsError(
                f"{key}: {directory} has no sketches; preprocess it again with preprocess.duplicates.keep_sketches=true"
            )
        if found != wanted:
            raise SettingsError(
                f"{key}: {directory} has sketches made with {found}, expected {wanted}; use the same "
                "preprocess.duplicates.near settings and seed"
            )


def check_teacher(config: str, teacher: str | None) -> None:
    """A model to learn from must be there. Raises SettingsError."""
    if teacher is None:
        return
    key = "train.distillation.teacher"
    try:
        directory = teacher_directory(teacher)
    except (MapringError, OSError, ValueError) as error:
        raise SettingsError(f"{config}: {key}: {error}") from None
    _check_directory(config, key, directory, "config.json")


def decoder_named(config: str, uri: str) -> str:
    """The fingerprint of who writes drafts, which must be a decoder. Raises SettingsError."""
    key = "score.draft.model"
    try:
        directory = decoder_directory(uri)
    except (MapringError, OSError, ValueError) as error:
        raise SettingsError(f"{config}: {key}: {error}") from None
    if is_published(directory):
        return lineage.decoder_fingerprint(directory)
    for needed in ("config.json", "tokenizer.json"):
        _check_directory(config, key, directory, needed)
    try:
        check_decoder_config(directory)
    except SettingsError as error:
        raise SettingsError(f"{config}: {key}: {error}") from None
    return lineage.decoder_fingerprint(directory)


def reranker_named(config: str, settings: Recommend, model: str) -> tuple[str | None, str | None]:
    """The directory of a model of another pipeline, and the fingerprint of that one or of this pipeline's `model`.

    Raises SettingsError.
    """
    if settings.reranker is None or settings.reranker.model is None:
        return None, None if settings.reranker is None else model
    key = f"{config}: recommend.reranker.model"
    try:
        directory = named_directory(settings.reranker.model)
        manifest = read_manifest(directory)
    except (MapringError, OSError, ValueError) as error:
        raise SettingsError(f"{key}: {error}") from None
    if manifest.kind != "model":
        raise SettingsError(
            f"{key}: found published {manifest.kind} at {directory}, expected a model; give a run directory or "
            "<run_dir>/models/<fingerprint>"
        )
    return directory, manifest.fingerprint


def check_replay(config: str, settings: Settings) -> None:
    """Shards to replay must be there, for as many ranks; whether they fit the new ones is told in the training.

    Raises SettingsError.
    """
    directory = settings.train.replay.shards
    if directory is None:
        return
    key = f"{config}: train.replay.shards"
    try:
        manifest = read_manifest(directory)
    except PublishedError as error:
        raise SettingsError(f"{key}: {error}") from None
    if manifest.kind != "shards":
        raise SettingsError(
            f"{key}: found a published {manifest.kind} at {directory}, expected shards; give "
            "<run_dir>/shards/<fingerprint>"
        )
    lanes = int(manifest.details["lanes"])
    for name in ("ranks", "max_ranks"):
        ranks = getattr(settings.ring, name)
        if ranks is not None and ranks > lanes:
            raise SettingsError(
                f"{config}: ring.{name}: found {ranks}, expected at most the {lanes} lanes of train.replay.shards; "
                "lower it"
            )


def check_model_directory(config: str, key: str, directory: str, needed: str) -> None:
    """A model that a training starts from, or its tokenizer, must have a file. Raises SettingsError."""
    try:
        inside = transformers_directory(directory)
    except (MapringError, OSError, ValueError) as error:
        raise SettingsError(f"{config}: {key}: {error}") from None
    _check_directory(config, key, inside, needed)


def _check_directory(config: str, key: str, uri: str, needed: str) -> None:
    try:
        found = storage.exists(storage.join(storage.resolve(uri), needed))
    except (MapringError, OSError, ValueError) as error:
        raise SettingsError(f"{config}: {key}: {error}") from None
    if not found:
        there = "://" in uri or storage.exists(uri)
        named = "" if there else ", which is no directory; nothing is downloaded from a model hub by its name"
        raise SettingsError(f"{config}: {key}: found no {needed} in {uri!r}{named}; give a directory that holds one")
