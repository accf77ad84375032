"""The scores table rechecked: what is damaged is named, and what is whole beside it is looked at all the same."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, Schema
from deltalake.transaction import AddAction, create_table_with_add_actions

from mapring.contract import content_name, write_file
from mapring.contract.schemas import score_schema
from mapring.errors import StageError
from mapring.scores.seal import seal
from mapring.scores.statistics import file_statistics
from mapring.scores.table import read_table
from mapring.scores.verify import verify_scores
from spark_jobs.tables import parquet_bytes


def committed(uri: str, *files: tuple[str, ...]) -> list[Path]:
    """A sealed table whose files each hold a row of each of these inputs; the files."""
    schema, added = score_schema("classify"), []
    for paths in files:
        rows = [
            {
                "doc_id": f"{path}:1",
                "source": "s",
                "path": path,
                "record": 1,
                "input_identity": f"sha256:{path}",
                "model_fingerprint": "0" * 16,
                "settings_fingerprint": "f" * 16,
                "run_id": "r",
                "scored_at": datetime(2026, 1, 1, tzinfo=UTC),
            }
            for path in paths
        ]
        table = pa.Table.from_pylist(rows, schema=schema)
        content = parquet_bytes(table, 100)
        entry = write_file(uri, f"data/{content_name('part', content, '.parquet')}", content)
        statistics = json.dumps(file_statistics(table))
        added.append(AddAction(entry.path, entry.bytes, {}, int(time.time() * 1000), True, statistics))
    named = {"run_id": "r", "model": "0" * 16, "docs_per_second": "1", "counts": "{}"}
    properties = CommitProperties(custom_metadata={f"mapring.{key}": value for key, value in named.items()})
    create_table_with_add_actions(uri, Schema.from_arrow(schema), added, mode="error", commit_properties=properties)
    seal(uri, 0)
    return [Path(uri, action.path) for action in added]


def test_a_damaged_file_of_several_inputs_is_named_and_the_others_are_looked_at(tmp_path: Path) -> None:
    uri = str(tmp_path / "scores")
    several, one = committed(uri, ("a.txt", "b.txt"), ("c.txt",))
    assert verify_scores(uri) == []
    for path in (several, one):
        path.write_bytes(b"PAR1" + bytes(path.stat().st_size - 4))
    first, second = verify_scores(uri)
    assert first.startswith(f"{several}: is missing or cannot be read (") and "\n" not in first
    assert second == f"{one}: checksum differs from its name"
    with pytest.raises(StageError, match=rf"{several}: .* mapring scores rollback"):
        read_table(uri)
    several.unlink()
    assert verify_scores(uri)[0].startswith(f"{several}: is missing or cannot be read (")
