"""Shards of an earlier corpus: whether they fit the new ones, so that a training may read and evaluate both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mapring import contract
from mapring.contract import Manifest, canonical_json
from mapring.plan import Plan
from training.ring.interface import AgreedError
from training.shard_check import shards_digest
from training.tasks import Task

_WITHOUT_LABELS = ("mlm", "clm")


@dataclass(frozen=True)
class OlderShards:
    """Shards of an earlier corpus that fit the new ones; `split` is the one on which forgetting is measured."""

    directory: str
    manifest: Manifest
    split: str


def open_older(plan: Plan, task: Task) -> OlderShards | None:
    """The older shards of a plan, None where it names none.

    Raises:
        AgreedError: they do not fit the new shards, or have no rows to replay or to evaluate.
    """
    replay = plan.settings.train.replay
    if replay.shards is None:
        return None
    new, older = contract.read_manifest(plan.shards_directory), contract.read_manifest(replay.shards)
    check_fit(replay.shards, new, older, task)
    rows = {name: int(split["rows"]) for name, split in older.details["splits"].items()}
    if replay.share and not rows["train"]:
        raise AgreedError(f"train.replay.shards: found no training rows in {replay.shards}; set train.replay.share=0")
    split = next((name for name in ("test", "validation") if rows[name]), None)
    if split is None:
        raise AgreedError(
            f"train.replay.shards: found neither test nor validation rows in {replay.shards}, on which forgetting is "
            "measured; give shards that have some"
        )
    return OlderShards(replay.shards, older, split)


def check_fit(directory: str, new: Manifest, older: Manifest, task: Task) -> None:
    """Refuse older shards whose rows are not of the kind of the new ones.

    Raises:
        AgreedError: tokenizer, packing, pairs, length or labels differ; what was found, expected, and what to do.
    """
    key = f"train.replay.shards: {directory}"
    if _tokenizer(older) != _tokenizer(new):
        raise AgreedError(
            f"{key} has another tokenizer than the new shards, so that its ids mean other tokens; preprocess the new "
            f"corpus with preprocess.tokenizer={directory}/tokenizer"
        )
    for name, found, expected in (
        ("preprocess.packing", _is_packed(older), _is_packed(new)),
        ("second_text_column of preprocess.inputs", older.details.get("pairs", False), new.details.get("pairs", False)),
    ):
        if found != expected:
            told = ["without", "with"]
            raise AgreedError(
                f"{key} was made {told[found]} {name}, expected it {told[expected]} as the new shards; preprocess one "
                "of them again"
            )
    longest, most = int(older.details["max_length"]), int(new.details["max_length"])
    if longest > most:
        raise AgreedError(
            f"{key} has rows of up to {longest} tokens, expected at most {most}; set preprocess.max_length={longest}"
        )
    if task.name not in _WITHOUT_LABELS:
        _check_labels(key, new.details, older.details, task.labels)


def _check_labels(key: str, new: Mapping[str, Any], older: Mapping[str, Any], labels: Sequence[str]) -> None:
    found, expected = older.get("label_kind", "one"), new.get("label_kind", "one")
    if found != expected:
        raise AgreedError(
            f"{key} was made with preprocess.labels={found}, expected {expected}; preprocess one of them again"
        )
    missing = [str(label) for label in older["labels"] if label not in labels]
    if missing:
        told = ", ".join(missing[:5]) + ", ..." * (len(missing) > 5)
        raise AgreedError(
            f"{key} has the labels {told}, which the new shards have not; add documents of these labels to the new "
            "corpus, or preprocess the older one without them"
        )


def _tokenizer(manifest: Manifest) -> str | None:
    """SHA-256 of what turns text into ids, None of shards without tokens."""
    described = manifest.details["tokenizer"]
    if described is None:
        return None
    path = f"{described['path']}/tokenizer.json"
    return next(entry.sha256 for entry in manifest.files if entry.path == path)


def _is_packed(manifest: Manifest) -> bool:
    return manifest.details.get("packing") is not None


def digest_of_all(new: Manifest, older: OlderShards | None) -> str:
    """What all shards hold that a training reads, new and older ones."""
    own = shards_digest(new)
    if older is None:
        return own
    return hashlib.sha256(canonical_json([own, shards_digest(older.manifest)])).hexdigest()
