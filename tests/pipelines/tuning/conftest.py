"""A plan whose space is searched; nothing of it is published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mapring.plan import Plan, make_plan
from tests.tiny import write_world

PlanMaker = Callable[..., Plan]
RATE = "tune.space.train.learning_rate={low: 1.0e-5, high: 1.0e-2, log: true}"
BATCH = "tune.space.train.global_batch={low: 16, high: 48, step: 16}"


@pytest.fixture
def make_tuned_plan(tmp_path: Path) -> PlanMaker:
    config, _ = write_world(tmp_path)
    return lambda *words: make_plan(config, ["train.learning_rate=1.0e-3", *words])
