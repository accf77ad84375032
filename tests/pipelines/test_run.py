"""`mapring run` from raw files to scores: real Spark, a real ring of two ranks, a tiny model."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from typer.testing import CliRunner

from mapring.contract import read_manifest
from mapring.plan import make_plan
from mapring.scores.table import latest_commit
from pipelines.cli import app
from tests.tiny import write_world
from tests.tiny_model import write_base_model

MAPRING = str(Path(sys.executable).parent / "mapring")
UNSEEN = b"good film\nawful \xff day\n\nthe table was bright\n" + b"".join(
    b"a very dull day %d\n" % n for n in range(60)
)


def run(config: str, *overrides: str) -> str:
    """Run a pipeline; what it said on both streams."""
    done = subprocess.run(
        [MAPRING, "run", config, *overrides], capture_output=True, text=True, env=None, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_raw_text_to_a_scored_table_with_one_command(tmp_path: Path) -> None:
    config, counts = write_world(tmp_path)
    write_base_model(tmp_path / "tokenizer")
    (tmp_path / "unseen.txt").write_bytes(UNSEEN)
    overrides = ("train.checkpoint_every_steps=10", "train.learning_rate=1e-3", "train.precision=fp32")
    said = run(config, *overrides)
    plan = make_plan(config, overrides)

    found = read_manifest(plan.shards_directory).details["counts"]
    assert found["read"] == counts["read"] == found["kept"] + sum(found["dropped"].values())
    assert found["kept"] == counts["kept"]
    assert f"read {counts['read']:,} = kept {counts['kept']:,}" in said
    model = read_manifest(plan.model_directory)
    assert model.details["world_size"] == 2
    assert f"accuracy {model.details['evaluation']['test']['accuracy']:.4f}" in said
    assert "TF-IDF + logistic regression" in said and "majority class" in said

    rows = pa.table(DeltaTable(plan.run.scores).to_pyarrow_table()).to_pylist()
    assert len(rows) == UNSEEN.count(b"\n") == len({row["doc_id"] for row in rows})
    assert sorted(row["record"] for row in rows) == list(range(1, len(rows) + 1))
    assert {row["record"]: row["error"] for row in rows if row["error"]} == {2: "undecodable_bytes", 3: "empty_text"}
    assert {row["record"] for row in rows if row["content_hash"] is None} == {2, 3}
    commit = latest_commit(plan.run.scores)
    assert commit is not None
    assert {(row["model_fingerprint"], row["run_id"]) for row in rows} == {(plan.model, commit.run_id)}
    assert "Examples of malformed_record" in Path(plan.run.report).read_text()

    began = time.monotonic()
    said = run(config, *overrides, "spark.partitions=3", "ring.ranks=1", "score.batch_tokens=64")
    assert said.count("skipped: ") == 3 and "all stages were skipped" in said
    assert time.monotonic() - began < 20
    _every_flipped_byte_is_named(Path(plan.run.root), config)


def _every_flipped_byte_is_named(root: Path, config: str) -> None:
    """Flip one bit in the middle of every published file, checkpoints included: `verify` names that file."""
    directories = sorted(record.parent for record in root.rglob("published.json"))
    assert {path.relative_to(root).parts[0] for path in directories} == {"shards", "models", "training"}
    for directory in directories:
        for path in [path for path in directory.rglob("*") if path.is_file()]:
            assert_flip_is_named(path, directory)
    for path in [path for path in (root / "scores").rglob("*") if path.is_file()]:
        assert_flip_is_named(path, root / "scores")
    result = CliRunner().invoke(app, ["verify", config])
    assert result.exit_code == 0
    assert result.stdout.count(": ok\n") == len(directories) + 1


def assert_flip_is_named(path: Path, directory: Path) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    found = CliRunner().invoke(app, ["verify", str(directory)])
    path.write_bytes(content)
    assert found.exit_code == 1
    assert str(path) in found.stdout
