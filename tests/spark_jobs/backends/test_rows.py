"""Rows to measure with."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mapring.contract import read_manifest
from spark_jobs.backends.rows import read_rows
from tests.spark_jobs.backends.tiny_run import publish_shards


def test_rows_without_tokens_are_left_out(tmp_path: Path) -> None:
    columns = {"input_ids": pa.array([[], [3], [4, 5]], pa.list_(pa.int32())), "label_id": pa.array([0, 1, None])}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    splits = {"train": {"rows": 3, "shards": [[{"path": "rows.parquet", "rows": 3}]]}}
    publish_shards(str(tmp_path), "1" * 16, [], splits)
    found = read_rows(str(tmp_path), read_manifest(str(tmp_path)), "train", 1)
    assert (found.input_ids, found.label_ids.tolist()) == ([[3]], [1])
