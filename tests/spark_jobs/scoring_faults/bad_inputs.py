"""Inputs that are damaged, empty, huge or all bad: refused by name, or a row for each record that says what it is."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from mapring.errors import InputError, StageError
from mapring.scores.table import read_table
from spark_jobs.failures import explain_failure
from spark_jobs.score import score
from tests.spark_jobs.scored_world import World
from tests.spark_jobs.scoring_faults.ground import Ground
from tests.tiny_model import publish_tiny_model

_EMPTY_ROWS = 1_000_000
_LONG_TEXT = 10_000_000


def corrupt_input(ground: Ground) -> None:
    """A gzip that was cut off is refused by its name; whole again, it is scored."""
    root = ground.own
    world = World(root)
    before = world.score()
    content = gzip.compress(b"".join(b"good film %d\n" % number for number in range(20_000)))
    path = root / "days" / "b.txt.gz"
    path.write_bytes(content[:-1000])
    _refused(world, r"b\.txt\.gz")
    assert world.rows(world.plan()) == before
    path.write_bytes(content)
    assert len(world.score()) == len(before) + 20_000


def a_million_empty_rows(ground: Ground) -> None:
    """Each has its row with `empty_text`, and the model is not asked."""
    root = ground.own
    world = World(root)
    (root / "days" / "b.txt").write_bytes(b"\n" * _EMPTY_ROWS)
    plan = world.plan()
    score(plan)
    table = read_table(plan.run.scores)
    assert table is not None and (table.rows, table.failed) == (_EMPTY_ROWS + 30, _EMPTY_ROWS)
    rows = DeltaTable(plan.run.scores).to_pyarrow_table(columns=["error", "doc_id"])
    counts = {entry["values"]: entry["counts"] for entry in rows.column("error").value_counts().to_pylist()}
    assert counts == {None: 30, "empty_text": _EMPTY_ROWS}
    assert len(rows.column("doc_id").unique()) == _EMPTY_ROWS + 30


def one_huge_text(ground: Ground) -> None:
    """10 MB in one line are scored by their first tokens, and its neighbours are not held up."""
    root = ground.own
    world = World(root)
    (root / "days" / "b.txt").write_text("good film\n" + "good " * (_LONG_TEXT // 5) + "\nbad day\n")
    rows = world.score()
    by_record = {row["record"]: row for row in rows if row["path"] == "b.txt"}
    assert all(by_record[record]["error"] is None for record in (1, 2, 3))
    (root / "days" / "c.txt").write_text("good " * 40 + "\n")
    [short] = [row for row in world.score() if row["path"] == "c.txt"]
    assert by_record[2]["score"] == pytest.approx(short["score"], abs=1e-5), "both are cut at the model's length"


def all_rows_unreadable(ground: Ground) -> None:
    """Nothing is committed, and file, line and byte are told."""
    root = ground.own
    world = World(root)
    (root / "days" / "a.txt").write_bytes(b"\xff\n" * 50)
    _refused(world, r"50 of 50 records \(100\.0%\) are malformed or undecodable.*a\.txt:1 byte 0xff")
    assert read_table(world.plan().run.scores) is None
    assert {row["error"] for row in world.score("score.max_quarantined_share=1")} == {"undecodable_bytes"}


def all_rows_failing(ground: Ground) -> None:
    """A model that fails on every text is refused; allowed to, it leaves a row for each that says why."""
    root = ground.own
    world = World(root)
    broken = "0123456789abcdef"
    plan = world.plan(f"score.model={broken!r}")
    publish_tiny_model(plan.scoring_model_directory, root / "tokenizer", broken, broken_token="[UNK]")
    (root / "days" / "a.txt").write_text(f"{'x' * 200}\n" * 9)
    _refused(world, r"failed on 9 of 9 texts \(100\.0%\)", f"score.model={broken!r}")
    rows = world.score(f"score.model={broken!r}", "score.max_failed_share=1")
    assert [(row["error"], row["detail"]) for row in rows] == [("model_failed", "logits are not finite")] * 9


def corrupt_model(ground: Ground) -> None:
    """A flipped byte among the weights changes golden rows or cannot be read; nothing is committed."""
    root = ground.own
    world = World(root)
    [weights] = Path(world.plan().model_directory).rglob("model.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2] + bytes(64) + content[len(content) // 2 + 64 :])
    _refused(world, "golden rows give other logits here")
    assert read_table(world.plan().run.scores) is None
    weights.write_bytes(content)
    assert len(world.score()) == 30


def model_of_another_tokenizer(ground: Ground) -> None:
    """Texts that would become other tokens than in training are refused before the first row."""
    root = ground.own
    world = World(root)
    [tokenizer] = Path(world.plan().model_directory).rglob("tokenizer.json")
    text = tokenizer.read_text()
    tokenizer.write_text(text.replace('"the"', '"thf"'))
    _refused(world, "golden rows tokenize otherwise here")
    tokenizer.write_text(text)
    assert len(world.score()) == 30


def _refused(world: World, said: str, *overrides: str) -> None:
    """The run ends with one line that says this."""
    with pytest.raises(Exception) as caught:
        score(world.plan(*overrides))
    error: Any = caught.value
    told = str(error) if isinstance(error, InputError | StageError) else explain_failure(error)
    assert told is not None and re.search(said, told, re.DOTALL), told
