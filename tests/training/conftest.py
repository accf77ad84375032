"""A tiny pipeline: made-up sentences, a tiny BERT, published shards, and a plan that points at them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml

from mapring.plan import Plan, make_plan
from tests.training.shards import Document, build_shards, split_of, tiny_model

GOOD = ["good", "fine", "lovely", "great"]
BAD = ["bad", "poor", "awful", "grim"]
COMMON = ["the", "a", "day", "film", "book", "was", "and", "very", "so", "it"]
LABELS = ["bad", "good"]


def made_documents(count: int, seed: int = 0) -> list[Document]:
    """Distinct sentences whose label is told by one of their words."""
    chance, found = random.Random(seed), {}
    while len(found) < count:
        label = len(found) % 2
        words = [*chance.choices(COMMON, k=chance.randint(2, 20)), chance.choice(GOOD if label else BAD)]
        chance.shuffle(words)
        found.setdefault(" ".join(words), label)
    return [Document(text, label) for text, label in found.items()]


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "model", [*GOOD, *BAD, *COMMON])


@pytest.fixture(scope="session")
def base_model_without_dropout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "still", [*GOOD, *BAD, *COMMON], dropout=0.0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """What a rank on a machine of two cores has; also the state that the ring leaves behind is undone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


PlanMaker = Callable[..., Plan]


@pytest.fixture
def make_tiny_plan(tmp_path: Path, base_model: Path) -> PlanMaker:
    """Write a config, publish its shards, return its plan; keyword `documents`, then words KEY=VALUE."""

    def make(*overrides: str, documents: list[Document] | None = None, shards: bool = True) -> Plan:
        corpus = tmp_path / "corpus.txt"
        corpus.write_text("not read by the trainer\n")
        source = {"name": "made", "path": str(corpus), "format": "text"}
        config = {
            "name": "tiny",
            "run_dir": str(tmp_path / "run"),
            "preprocess": {
                "inputs": [source],
                "tokenizer": str(base_model),
                "max_length": 32,
                "lanes": 4,
                "rows_per_shard": 48,
                "rows_per_row_group": 16,
            },
            "train": {
                "model": str(base_model),
                "global_batch": 16,
                "learning_rate": 5e-3,
                "precision": "fp32",
                "shuffle_window": 128,
                "checkpoint_every_steps": 3,
            },
            "score": {"inputs": [source]},
        }
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(config))
        plan = make_plan(str(path), overrides)
        if shards and not Path(plan.shards_directory, "published.json").exists():
            splits = split_of(made_documents(330) if documents is None else documents, 0.15)
            build_shards(plan.shards_directory, splits, labels=LABELS, tokenizer=base_model, fingerprint=plan.shards)
        return plan

    return make
