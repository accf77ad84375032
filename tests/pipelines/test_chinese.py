"""The Chinese application on made-up texts: an encoder learned from them, and classifiers that start from it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mapring import contract
from mapring.scores.table import read_table

ROOT = Path(__file__).resolve().parents[2]
_SMALL = ("ring.ranks=1", "train.epochs=1")
_GOOD, _BAD = ("很好", "喜欢", "不错", "满意"), ("很差", "失望", "太贵", "糟糕")
_THINGS = ("酒店", "房间", "这本书", "电脑", "服务", "早餐")
_TOPICS = {"finance": ("基金", "股市", "黄金"), "sports": ("火箭", "皇马", "姚明")}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_classifiers_start_from_what_was_learned_of_their_texts(tmp_path: Path) -> None:
    chance = random.Random(5)
    reviews = list(_reviews(chance, 400))
    _write(tmp_path, "reviews", reviews)
    _write(tmp_path, "titles", list(_titles(chance, 300)))
    _write(tmp_path, "prose", [{"text": row["text"]} for row in _reviews(chance, 200)])
    _write(tmp_path, "new_reviews", reviews[:40])
    _write(tmp_path, "new_titles", list(_titles(chance, 30)))
    _run(tmp_path, "chinese_pretrain", "preprocess.tokenizer.vocabulary_size=400")
    encoder = _only(tmp_path / "runs/chinese_pretrain/models")
    for kind, rows in (("reviews", 40), ("titles", 30)):
        _run(tmp_path, f"chinese_{kind}", "score.backend=torch")
        manifest = contract.read_manifest(str(_only(tmp_path / f"runs/chinese_{kind}/models")))
        base = next(link for link in manifest.inputs if link["kind"] == "base_model")
        assert base["fingerprint"] == encoder.name  # the model that a run directory stands for is named
        table = read_table(str(tmp_path / f"runs/chinese_{kind}/scores"))
        assert table is not None and table.rows == rows and not table.failed


def _reviews(chance: random.Random, count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        words = (_GOOD, _BAD)[number % 2]
        text = "，".join(f"{chance.choice(_THINGS)}{chance.choice(words)}" for _ in range(3))
        yield {"text": f"{text}{number}。", "label": ("positive", "negative")[number % 2]}


def _titles(chance: random.Random, count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        label = chance.choice(list(_TOPICS))
        words = chance.sample(_TOPICS[label], 2)
        yield {"text": f"{words[0]}今日{number}：{words[1]}", "label": label}


def _write(home: Path, name: str, rows: list[dict[str, str]]) -> None:
    folder = home / "data/chinese"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"id": f"{name}-{number}", **row}, ensure_ascii=False) for number, row in enumerate(rows)]
    (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _run(home: Path, name: str, *overrides: str) -> None:
    command = [
        str(Path(sys.executable).parent / "mapring"),
        "run",
        str(ROOT / f"conf/{name}.yaml"),
        *_SMALL,
        *overrides,
    ]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]


def _only(folder: Path) -> Path:
    found = list(folder.iterdir())
    assert len(found) == 1
    return found[0]
