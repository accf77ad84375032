"""Fixtures of the trainer's tests: a tiny BERT, and tiny pipelines below each test's folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from mapring.contract.schemas import LabelKind
from mapring.plan import Plan
from tests.training.shards import Document, tiny_model
from tests.training.tiny_plan import LABELS, WORDS, made_documents, publish_shards, tiny_plan
from training import preparation
from training.model import BuiltModel

__all__ = ["LABELS", "PlanMaker", "made_documents"]


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "model", WORDS)


@pytest.fixture(scope="session")
def base_model_without_dropout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "still", WORDS, dropout=0.0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """What a rank on a machine of two cores has; also the state that the ring leaves behind is undone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def one_load_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks that are threads share what transformers changes while it loads: a later load could stay on `meta`."""
    build, lock = preparation.build_trainable, threading.Lock()

    def locked(*arguments: Any) -> BuiltModel:
        with lock:
            return build(*arguments)

    monkeypatch.setattr(preparation, "build_trainable", locked)


PlanMaker = Callable[..., Plan]


@pytest.fixture
def make_tiny_plan(tmp_path: Path, base_model: Path) -> PlanMaker:
    """Write a config, publish its shards, return its plan; words KEY=VALUE, and what the shards hold."""

    def make(
        *overrides: str,
        documents: list[Document] | None = None,
        shards: bool = True,
        labels: Sequence[str] = LABELS,
        label_kind: LabelKind = "one",
    ) -> Plan:
        plan = tiny_plan(tmp_path, base_model, *overrides)
        if shards:
            publish_shards(plan, base_model, documents, labels, label_kind=label_kind)
        return plan

    return make
