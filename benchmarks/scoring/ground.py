"""What all sides score: real sentences of four domains, and a fine-tuned encoder that has seen none of them.

The demo's rated sentences are halved by a hash of their words. One half trains all-MiniLM-L6-v2 (6 layers of 384 units)
as the demo does; of the other half the first texts, in the order of that hash, are scored, normalized as the model
wants them, so that all sides get the same strings: `ROWS` against the clock, and `LABELLED_ROWS` for labels.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.corpus import FOLDER
from benchmarks.models.trained import trained, write_config
from benchmarks.sentences import ROOT
from mapring.contract import read_manifest
from mapring.plan import Plan
from mapring.settings.normalization import Normalization
from mapring.text import normalize
from scripts.fetch_demo_data import DOMAINS, Sentence, fetch, read_archive

HOME = FOLDER / "scoring"
MAX_LENGTH = 128  # tokens; the longest sentences have about 90
TRIAL_ROWS, TRIAL_MODEL = "SCORING_ROWS", "SCORING_MODEL"
ROWS = int(os.environ.get(TRIAL_ROWS, 4096))
# Accuracies of backends that agree on 98 % of so many rows differ by chance by 0.0013: 0.003 is then seen.
LABELLED_ROWS = 2 * ROWS
IS_TRIAL = TRIAL_ROWS in os.environ or TRIAL_MODEL in os.environ
_SCORED_CSV = HOME / "scored.csv"


@dataclass(frozen=True)
class Ground:
    """A published model, the shards that it was trained on, its transformers directory, and a Parquet file of texts.

    `texts` has columns `id`, `text` and the true `label`; `max_length` is that of the model, in tokens.
    """

    model_directory: str
    shards_directory: str
    stock_directory: str
    texts: Path
    max_length: int


def ground() -> Ground:
    """Model and texts, made once."""
    directory = os.environ.get(TRIAL_MODEL) or trained_plan().model_directory
    details = read_manifest(directory).details
    shards = next(link["fingerprint"] for link in read_manifest(directory).inputs if link["kind"] == "shards")
    texts = HOME / f"texts-{ROWS}.parquet"
    rows = _scored()[:LABELLED_ROWS]
    if len(rows) < LABELLED_ROWS:
        raise ValueError(f"{TRIAL_ROWS}: found {ROWS}, expected at most half of the {len(rows)} sentences; take fewer")
    normalized = normalize(pa.array([row.text for row in rows]), Normalization.model_validate(details["text"]))
    labels = [row.label for row in rows]
    HOME.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": range(len(rows)), "text": normalized, "label": labels}), texts)
    return Ground(
        model_directory=directory,
        shards_directory=str(Path(directory).parents[1] / "shards" / shards),
        stock_directory=str(Path(directory, details["transformers"])),
        texts=texts,
        max_length=details["max_length"],
    )


def trained_plan() -> Plan:
    """The pipeline whose model is trained, on two ranks, unless that was done; `mapring score` goes on with it."""
    learned = [row for row in _sentences() if not _is_scored(row.text)]
    scored = _scored()[: ROWS if IS_TRIAL else None]
    HOME.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row._asdict(), ensure_ascii=False) for row in learned]
    (HOME / "learned.jsonl").write_text("".join(f"{line}\n" for line in lines))
    with _SCORED_CSV.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "text"), *((row.id, row.text) for row in scored)])
    return trained("scoring", write_config("scoring", _values())).plan


def _values() -> dict[str, Any]:
    demo = yaml.safe_load((ROOT / "conf/demo.yaml").read_text())
    source = {"name": "learned", "path": str(HOME / "learned.jsonl"), "format": "jsonl", "id_column": "id"}
    scored = {"name": "scored", "path": str(_SCORED_CSV), "format": "csv", "id_column": "id"}
    return {
        "seed": 17,
        "preprocess": {
            **demo["preprocess"],
            "inputs": [{**source, "label_column": "label"}],
            "max_length": MAX_LENGTH,
            # Backends are chosen by how often they agree with fp32 on the validation split.
            "splits": {"validation": 0.25, "test": 0.05},
        },
        "train": {**demo["train"], "baselines": False},
        "score": {"inputs": [scored]},
        "spark": {"master": "local[2]"},
    }


def _scored() -> list[Sentence]:
    """The texts to score, in an order that knows neither domain nor label."""
    found = [row for row in _sentences() if _is_scored(row.text) and row.text.strip()]
    return sorted(found, key=lambda row: (_digest(row.text), row.id))


def _sentences() -> list[Sentence]:
    subprocess.run([sys.executable, str(ROOT / "scripts/fetch_demo_data.py")], check=True)
    archive = read_archive(fetch())
    return [row for domain in DOMAINS for row in archive[domain]]


def _is_scored(text: str) -> bool:
    """Whether a text is in the half that no model learns from; equal texts are on one side."""
    return _digest(text)[-1] % 2 == 0


def _digest(text: str) -> bytes:
    return hashlib.sha256(" ".join(text.lower().split()).encode()).digest()
