"""Which different texts of a corpus two systems have kept, for `removals.py`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.removals import Removals, judge_removals
from mapring.contract import read_manifest

SAMPLE = 2000
THRESHOLD = 0.8


def removals_of(corpus: Path, shards: str, datatrove: Path) -> tuple[Removals, Removals]:
    """Judge our removals and datatrove's over the same sample of the corpus."""
    texts = list(dict.fromkeys(_json_texts(corpus)))
    files = read_manifest(shards).files_below("data")
    ours = {text for entry in files for text in pq.read_table(Path(shards, entry.path))["text"].to_pylist()}
    theirs = set(_json_texts(datatrove / "kept"))
    mine, peer = (
        judge_removals(texts, np.array([text in kept for text in texts]), SAMPLE, THRESHOLD) for kept in (ours, theirs)
    )
    return mine, peer


def _json_texts(folder: Path) -> list[str]:
    return [
        json.loads(line)["text"]
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_text().split("\n")
        if line
    ]
