"""A table before and after a day's changes: what a disturbed run starts from, and what it must end with."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from mapring.plan import Plan
from mapring.scores.verify import verify_scores
from tests.spark_jobs.scored_world import World

_EXEMPT = ("run_id", "scored_at", "score", "probabilities")


@dataclass(frozen=True)
class Ground:
    """`shared` is one folder for all cases, in which the day was scored in peace; `own` is an empty one."""

    shared: Path
    own: Path

    def plan(self, *, is_first: bool = False) -> Plan:
        """The changed inputs, to be scored into a table as it was before the day, or into none."""
        world, before, _ = _prepared(self.shared)
        run = self.own / "run"
        shutil.copytree(before, run)
        if is_first:
            shutil.rmtree(run / "scores")
        return world.plan(f"run_dir={run}", "score.rows_per_file=20", "spark.partitions=2")

    def assert_undisturbed(self, plan: Plan, *, is_first: bool = False) -> None:
        """The table is sound and that of a run in peace: ids, rows, labels, lineage, and scores within 1e-5."""
        assert verify_scores(plan.run.scores) == []
        expected = _prepared(self.shared)[2]
        if is_first:  # rows of the input that was gone by then are in the other table only
            expected = [row for row in expected if row["path"] != "gone.txt"]
        found = rows_of(plan)
        assert [_exact(row) for row in found] == [_exact(row) for row in expected]
        for row, other in zip(found, expected, strict=True):
            assert row["score"] == (None if other["score"] is None else pytest.approx(other["score"], abs=1e-5))


@cache
def _prepared(shared: Path) -> tuple[World, Path, list[dict[str, Any]]]:
    """The world after its changes, a run directory of before, and the rows that scoring in peace gives."""
    shared.mkdir(exist_ok=True)
    world = World(shared)
    for name, lines in (("b", 12), ("gone", 3), ("emptied", 4), ("small", 2)):
        world.add(name, lines, first=100)
    options = ("score.rows_per_file=20", "spark.partitions=2")
    world.score(*options)
    before = Path(world.plan().run.root)
    kept = shared / "before"
    shutil.copytree(before, kept)
    (world.root / "days" / "gone.txt").unlink()
    world.add("b", 9, first=300)  # in a file with rows that stay
    world.add("emptied", 0)
    world.add("new", 45, first=500)
    with (world.root / "days" / "new.txt").open("ab") as file:
        file.write(b"\nb\xffd\n\n")
    return world, kept, _sorted(world.score(*options))


def rows_of(plan: Plan) -> list[dict[str, Any]]:
    """All rows of a plan's table, in one order."""
    return _sorted(DeltaTable(plan.run.scores).to_pyarrow_table().to_pylist())


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["path"], row["record"]))


def _exact(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _EXEMPT}
