"""Manifests of earlier versions of this contract, brought step by step to what this one reads.

Steps are pure functions of a manifest's JSON value, from version n to n + 1. They run when a manifest is read: a
published directory is never written again, so its record, its checksum and what links to them stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Value = dict[str, Any]

_SINCE_1: Mapping[str, Mapping[str, Any]] = {  # what later manifests have, and what it was before it was there
    "shards": {
        "label_kind": "one",
        "pairs": False,
        "packing": None,
        "sources": {},
        "overlap": None,
        "duplicate_parts": None,
        "measures": None,
        "words": None,
        "sketches": None,
    },
    "model": {"task": "classify", "method": "full", "base_license": None, "reference": None, "temperature": None},
    "checkpoint": {"validation_loss": None},
    "backend": {"margin": None},
}


def to_version_2(value: Value) -> Value:
    """Say of each kind what version 1 left out where it was the only choice; a model's tokenizer was in its folder."""
    kind = str(value.get("kind"))
    found = {**_SINCE_1.get(kind, {}), **value, "schema_version": 2}
    if kind == "model" and "tokenizer" not in found:
        found["tokenizer"] = found.get("transformers")
    return found


STEPS: Mapping[int, Callable[[Value], Value]] = {1: to_version_2}


def migrated(value: Value, version: int) -> Value:
    """The value as a manifest of this version, which is not lower than its own; itself where it is one."""
    for step in range(int(value["schema_version"]), version):
        value = STEPS[step](value)
    return value
