"""Manifests of version 1 are read as what they were; those of later versions are refused as that."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mapring import storage
from mapring.contract import RECORD_NAME, canonical_json, content_name, read_manifest, write_file
from mapring.contract.manifest import SCHEMA_VERSION, Manifest
from mapring.contract.migrations import STEPS, to_version_2
from mapring.contract.verify import verify
from mapring.errors import PublishedError


def first_manifest(kind: str, **details: Any) -> dict[str, Any]:
    """A manifest as the first mapring wrote it."""
    common = {"created": "2026-01-01T00:00:00+00:00", "code_version": "0.1", "settings": {}, "inputs": [], "files": []}
    return {"kind": kind, "fingerprint": "0" * 16, "schema_version": 1, **common, **details}


def publish_value(directory: Path, value: dict[str, Any]) -> str:
    content = canonical_json(value)
    name = content_name("manifest", content, ".json")
    write_file(str(directory), name, content)
    record = {"manifest": name, "sha256": hashlib.sha256(content).hexdigest()}
    storage.create(str(directory / RECORD_NAME), canonical_json(record))
    return str(directory)


def test_there_is_a_step_from_every_version_before_this_one() -> None:
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))


def test_version_2_says_what_version_1_took_for_granted() -> None:
    shards = first_manifest("shards", labels=["a"])
    found = to_version_2(shards)
    assert found["schema_version"] == 2 and found["label_kind"] == "one" and found["pairs"] is False
    assert found["labels"] == ["a"] and shards == first_manifest("shards", labels=["a"])
    model = to_version_2(first_manifest("model", transformers="transformers-1"))
    assert model["task"] == "classify" and model["tokenizer"] == "transformers-1" and "pairs" not in model
    assert to_version_2(first_manifest("model", task="clm", temperature=2.0))["task"] == "clm"


def test_a_published_directory_of_version_1_is_read_and_verified_as_it_stands(tmp_path: Path) -> None:
    directory = publish_value(tmp_path / "models" / ("0" * 16), first_manifest("model", transformers="t"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert read_manifest(directory).details["task"] == "classify"
    assert read_manifest(directory).schema_version == SCHEMA_VERSION and verify(directory) == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("version", [0, -1, "1", None])
def test_what_was_never_a_version_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match="expected 1 to 2"):
        Manifest.from_json(canonical_json({**first_manifest("model"), "schema_version": version}))


def test_a_newer_manifest_is_told_as_that(tmp_path: Path) -> None:
    value = json.loads(canonical_json({**first_manifest("model"), "schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(PublishedError, match="made by a newer mapring; this one reads up to 2"):
        read_manifest(publish_value(tmp_path / "m", value))
