"""One document of 100 MB among small ones, with the memory that the settings give by default."""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml

from mapring.contract.verify import verify
from mapring.plan import make_plan
from tests.spark_jobs.faults.ground import Ground, rows_of, run_job

_MEGABYTES = 100


def huge_document(ground: Ground) -> None:
    """It is kept whole, and so are the small ones."""
    line = " ".join(f"word{number}" for number in range(1000))
    text = " ".join([line] * (_MEGABYTES * 1_000_000 // len(line)))
    (ground.own / "huge.txt").write_text(f"before\n{text}\nafter\nbetween\n")
    values = yaml.safe_load(Path(ground.plan().config).read_text())
    values["preprocess"]["inputs"] = [{"name": "one", "path": str(ground.own / "huge.txt"), "format": "text"}]
    values["preprocess"]["splits"] = {"validation": 0, "test": 0}
    del values["spark"]["split_bytes"]
    values["run_dir"] = str(ground.own / "run")
    config = ground.own / "huge.yaml"
    config.write_text(yaml.safe_dump(values))
    plan = make_plan(str(config))
    done = run_job(plan)
    assert done.returncode == 0, done.stderr
    assert verify(plan.shards_directory) == []
    digests = {hashlib.sha256(row["text"].encode()).digest() for row in rows_of(plan, "data", "one")}
    expected = {hashlib.sha256(whole.encode()).digest() for whole in ("before", text, "after", "between")}
    assert digests == expected
