"""A run directory of shards and a model, made without Spark and without training, for the gate to measure."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from mapring.contract import FileEntry, Manifest, code_version, publish, utc_now, write_file
from mapring.text import Encoder
from spark_jobs.backends.probe import Probe
from spark_jobs.tables import parquet_bytes
from tests.tiny import sentence, write_tokenizer
from tests.tiny_model import LABELS, publish_tiny_model

SHARDS, MODEL = "5" * 16, "6" * 16


@dataclass(frozen=True)
class TinyRun:
    """Places of a run directory."""

    root: Path

    @property
    def model(self) -> str:
        return str(self.root / "models" / MODEL)

    @property
    def shards(self) -> str:
        return str(self.root / "shards" / SHARDS)

    def copy_to(self, root: Path) -> TinyRun:
        shutil.copytree(self.root, root)
        return TinyRun(root)

    def probe(self, backend: str, **changed: Any) -> Probe:
        values = {"min_agreement": 0.9, "max_metric_loss": 0.05, "batch_tokens": 512, **changed}
        return Probe(
            model_directory=self.model,
            shards_directory=self.shards,
            run_directory=str(self.root),
            backend=backend,
            **values,
        )

    def validation(self) -> list[list[int]]:
        return Encoder(self.root / "tokenizer", 32).encode([sentence(number)[0] for number in range(1000, 1200)])


def make_tiny_run(root: Path) -> TinyRun:
    run = TinyRun(root)
    tokenizer = write_tokenizer(root / "tokenizer")
    publish_tiny_shards(run.shards, tokenizer, SHARDS)
    publish_tiny_model(run.model, tokenizer, MODEL, with_onnx=True)
    return run


def publish_tiny_shards(directory: str, tokenizer: Path, fingerprint: str, *, validation: int = 200) -> None:
    """Two lanes of training rows and of validation rows, every tenth of these without a label."""
    encoder = Encoder(tokenizer, 32)
    files, splits = [], {}
    for split, numbers in (("train", range(100)), ("validation", range(1000, 1000 + validation))):
        lanes = []
        for lane in range(2):
            rows = [sentence(number) for number in numbers[lane::2]]
            labels = [None if row % 10 == 9 else LABELS.index(label) for row, (_, label) in enumerate(rows)]
            columns = {
                "input_ids": pa.array(encoder.encode([text for text, _ in rows]), pa.list_(pa.int32())),
                "label_id": pa.array(labels, pa.int32()),
            }
            content = parquet_bytes(pa.table(columns), 16)
            files.append(write_file(directory, f"data/{split}-{lane}.parquet", content, len(rows)))
            lanes.append([{"path": files[-1].path, "rows": len(rows)}] if rows else [])
        splits[split] = {"rows": len(numbers), "shards": lanes}
    total = sum(split["rows"] for split in splits.values())
    publish_shards(directory, fingerprint, files, splits, {"read": total, "kept": total, "dropped": {}})


def publish_shards(
    directory: str,
    fingerprint: str,
    files: Sequence[FileEntry],
    splits: Mapping[str, Any],
    counts: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Publish files, which are written, as shards of as many lanes as their splits have."""
    lanes = max((len(split["shards"]) for split in splits.values()), default=0) or 1
    manifest = Manifest(
        kind="shards",
        fingerprint=fingerprint,
        created=utc_now(),
        code_version=code_version(),
        settings={},
        inputs=(),
        files=tuple(files),
        details={"counts": dict(counts), "splits": splits, "lanes": lanes},
    )
    publish(directory, manifest)
