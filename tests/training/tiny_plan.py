"""A tiny pipeline: made-up sentences, published shards, and a plan that points at them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import yaml

from mapring.contract.schemas import LabelKind
from mapring.plan import Plan, make_plan
from tests.training.shards import Document, build_shards, split_of

GOOD = ["good", "fine", "lovely", "great"]
BAD = ["bad", "poor", "awful", "grim"]
COMMON = ["the", "a", "day", "film", "book", "was", "and", "very", "so", "it"]
WORDS = [*GOOD, *BAD, *COMMON]
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


def tiny_plan(folder: Path, base_model: Path, *overrides: str) -> Plan:
    """Write `folder`'s config for a model and its tokenizer, and make a plan of it; publishes nothing.

    A pipeline that the overrides give another task than classify ends with the model.
    """
    corpus = folder / "corpus.txt"
    corpus.write_text("not read by the trainer\n")
    source = {"name": "made", "path": str(corpus), "format": "text"}
    config = {
        "name": "tiny",
        "run_dir": str(folder / "run"),
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
    if any(word.startswith("train.task=") and word != "train.task=classify" for word in overrides):
        del config["score"]
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    return make_plan(str(path), overrides)


def publish_shards(
    plan: Plan,
    tokenizer: Path,
    documents: Sequence[Document] | dict[str, list[Document]] | None = None,
    labels: Sequence[str] = LABELS,
    code_version: str = "test",
    label_kind: LabelKind = "one",
) -> None:
    """Publish a plan's shards unless they are there: of splits as given, or of documents that are divided here."""
    if Path(plan.shards_directory, "published.json").exists():
        return
    chosen = made_documents(330) if documents is None else documents
    splits = chosen if isinstance(chosen, dict) else split_of(chosen, 0.15)
    build_shards(
        plan.shards_directory,
        splits,
        labels=labels,
        tokenizer=tokenizer,
        lanes=plan.settings.preprocess.lanes,
        fingerprint=plan.shards,
        code_version=code_version,
        label_kind=label_kind,
    )
