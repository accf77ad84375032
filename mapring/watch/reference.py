"""What a model was published with: its answers on held-out rows, and what those were like, by the bins of counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mapring import storage
from mapring.contract import Manifest, is_published, read_manifest
from mapring.watch.counting import INPUTS, LABEL, LANGUAGE, LOSS, SCORE, TOKENS, UNKNOWN, VALUE

_OLD = "the model was published by a mapring that did not keep it"
_NUMBERS = {"regression": (VALUE, "prediction"), "clm": (LOSS, "loss")}
_KEPT = {TOKENS: "tokens", UNKNOWN: "unknown_share", LANGUAGE: "languages"}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Counts by bin of each quantity, over `rows` rows of a split, and why others are missing.

    `edges` are those of numbers. Of a model that `has_several` labels a row, the counts of LABEL are rows that have
    each one.
    """

    model: str
    split: str
    rows: int
    expected: Mapping[str, Mapping[str, int]]
    missing: Mapping[str, str]
    edges: Sequence[float] = ()
    has_several: bool = False


def read_histograms(directory: str) -> dict[str, Any] | None:
    """The histograms that a model was published with, as `training/reference.py` describes them; None without."""
    manifest = read_manifest(directory) if is_published(directory) else None
    return None if manifest is None else _histograms(directory, manifest)


def read_reference(directory: str) -> Reference | None:
    """The reference of a published model; None where it has none, or the model is not there."""
    if not is_published(directory):
        return None
    manifest = read_manifest(directory)
    found = _histograms(directory, manifest)
    return None if found is None else make_reference(manifest.fingerprint, manifest.details, found)


def make_reference(model: str, details: Mapping[str, Any], found: Mapping[str, Any]) -> Reference:
    """The counts of a model's histograms; `details` are those of its manifest."""
    task = str(details["task"])
    expected: dict[str, Mapping[str, int]] = {}
    missing: dict[str, str] = {}
    edges: Sequence[float] = ()
    if "labels" in found:
        expected[LABEL] = {label: counts["answers"] for label, counts in found["labels"].items()}
    if "top_score" in found:
        if (details.get("temperature") or 1.0) == found.get("temperature", 1.0):
            expected[SCORE] = _by_place(found["top_score"]["counts"])
        else:
            missing[SCORE] = "the model's scores were kept without its temperature, by an older mapring"
    if task in _NUMBERS:
        quantity, name = _NUMBERS[task]
        if found.get("is_packed"):
            missing[quantity] = "it was trained on packed sequences, whose losses are not those of documents"
        else:
            expected[quantity], edges = _by_place(found[name]["counts"]), found[name]["edges"]
    inputs = found.get("inputs", {})
    for quantity in INPUTS:
        counts = inputs.get(_KEPT[quantity])
        if counts is not None:
            expected[quantity] = counts
        else:
            missing[quantity] = _OLD if "inputs" not in found else _why_missing(quantity, task, found)
    return Reference(
        model=model,
        split=found["split"],
        rows=found["rows"],
        expected=expected,
        missing=missing,
        edges=tuple(edges),
        has_several=task == "multilabel",
    )


def _histograms(directory: str, manifest: Manifest) -> dict[str, Any] | None:
    path = manifest.details.get("reference")
    if path is None:
        return None
    found: dict[str, Any] = json.loads(storage.read_bytes(storage.join(directory, path)))
    return found


def _why_missing(quantity: str, task: str, found: Mapping[str, Any]) -> str:
    if quantity == LANGUAGE:
        return "its corpus was preprocessed without preprocess.filters.languages, so no language is known"
    if found.get("is_packed"):
        return "it was trained on packed sequences, whose lengths are not those of documents"
    if task == "embed":
        return "it was trained on pairs, and is asked about single texts"
    return "its tokenizer knows no unknown token"


def _by_place(counts: Sequence[int]) -> dict[str, int]:
    return {str(place): count for place, count in enumerate(counts)}
