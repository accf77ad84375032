"""Fixtures of the Spark rooms: a file's content to the records that its reader makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mapring.lineage import SourceFile
from mapring.settings import Input
from spark_jobs.readers import read_segment
from spark_jobs.segments import plan_segments

Read = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a file and read it as an input of the given format and options."""

    def read_all(
        content: bytes, file_format: str, *, name: str = "file", split_bytes: int = 1 << 30, **options: Any
    ) -> list[dict[str, Any]]:
        path = tmp_path / name
        path.write_bytes(content)
        source = Input(name="s", path=str(path), format=file_format, **options)  # type: ignore[arg-type]
        file = SourceFile("s", str(path), name, len(content), "")
        segments = plan_segments([source], [file], split_bytes)
        return [row for segment in segments for batch in read_segment(segment) for row in batch.to_pylist()]

    return read_all
