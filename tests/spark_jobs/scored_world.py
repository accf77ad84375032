"""A folder of inputs that is scored day by day, with a model that is there without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from deltalake import DeltaTable

from mapring.plan import Plan, make_plan
from mapring.scores.table import ScoresTable
from mapring.scores.verify import verify_scores
from mapring.scores.work import Work, find_work
from spark_jobs import score as stage
from spark_jobs.score import score
from tests.tiny import config_values, sentence, write_corpus, write_tokenizer
from tests.tiny_model import publish_tiny_model


class World:
    """A folder of inputs that is scored day by day."""

    def __init__(self, root: Path) -> None:
        self.root = root
        write_corpus(root / "corpus")
        write_tokenizer(root / "tokenizer")
        (root / "tokenizer" / "config.json").write_text("{}")
        values = config_values(root)
        values["score"]["inputs"][0]["path"] = str(root / "days")
        (root / "days").mkdir()
        self.config = root / "tiny.yaml"
        self.config.write_text(yaml.safe_dump(values))
        self.add("a", 30)
        self.model = self.plan().model
        self.publish(self.model)

    def publish(self, fingerprint: str, seed: int = 1) -> None:
        publish_tiny_model(
            make_plan(str(self.config)).run.model(fingerprint), self.root / "tokenizer", fingerprint, seed=seed
        )

    def add(self, name: str, lines: int, first: int = 0) -> Path:
        path = self.root / "days" / f"{name}.txt"
        path.write_text("".join(f"{sentence(first + number)[0]}\n" for number in range(lines)))
        return path

    def plan(self, *overrides: str) -> Plan:
        return make_plan(str(self.config), overrides)

    def score(self, *overrides: str) -> list[dict[str, Any]]:
        plan = self.plan(*overrides)
        score(plan)
        return self.rows(plan)

    def rows(self, plan: Plan) -> list[dict[str, Any]]:
        assert verify_scores(plan.run.scores) == []
        found = DeltaTable(plan.run.scores).to_pyarrow_table().to_pylist()
        assert len({row["doc_id"] for row in found}) == len(found)
        return sorted(found, key=lambda row: (row["path"], row["record"]))


def overtake_once(monkeypatch: pytest.MonkeyPatch, other_run: Callable[[], None]) -> None:
    """The next scoring finds another run's commit between its look at the table and its own commit."""
    real = find_work

    def look_then_be_overtaken(plan: Plan) -> tuple[ScoresTable | None, Work]:
        found = real(plan)
        monkeypatch.setattr(stage, "find_work", real)
        other_run()
        return found

    monkeypatch.setattr(stage, "find_work", look_then_be_overtaken)
