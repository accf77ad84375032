"""What was measured, with machine and date, for the page: build/benchmarks/scoring/noted.json."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.results import machine, today
from benchmarks.scoring.ground import HOME, IS_TRIAL
from benchmarks.scoring.speed import Speed

_FILE = HOME / ("noted-trial.json" if IS_TRIAL else "noted.json")


def note(part: str, values: dict[str, Any]) -> None:
    """Keep what a part has measured, instead of what it had measured before."""
    _FILE.parent.mkdir(parents=True, exist_ok=True)
    _FILE.write_text(json.dumps({**_all(), part: {"machine": machine(), "date": today(), **values}}, indent=1))


def noted(part: str) -> dict[str, Any] | None:
    """What a part has measured last, None before the first time."""
    found: dict[str, Any] | None = _all().get(part)
    return found


def noted_speeds(values: dict[str, Any]) -> dict[str, list[Speed]]:
    """All runs by side."""
    return {side: [Speed(**run) for run in runs] for side, runs in values["speeds"].items()}


def _all() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_FILE.read_text()) if _FILE.exists() else {}
    return found
