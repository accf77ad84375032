"""A file that is another one than when the plan was made is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapring.errors import StageError
from mapring.lineage import list_sources
from mapring.settings import Input
from spark_jobs.unchanged import check_unchanged


def test_a_changed_file_is_told_and_the_same_one_is_not(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("good\n")
    inputs = (Input(name="x", path=str(tmp_path), format="text"),)
    files = list_sources("c.yaml", "score.inputs", inputs)
    check_unchanged(files)
    (tmp_path / "b.txt").write_text("awful\n")
    with pytest.raises(StageError, match=r"b\.txt: changed while it was read \(found sha256:"):
        check_unchanged(files)
