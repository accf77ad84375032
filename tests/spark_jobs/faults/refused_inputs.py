"""Inputs that cannot be used at all: a clear error, and nothing is published."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
import yaml

from mapring.contract import is_published
from mapring.errors import InputError, SettingsError
from mapring.plan import Plan, make_plan
from spark_jobs.arguments import run_main
from spark_jobs.failures import explain_failure
from spark_jobs.preprocess import preprocess
from tests.spark_jobs.faults.ground import Ground


def truncated_gzip(ground: Ground) -> None:
    """What follows the cut cannot be counted, so the file is refused by name."""
    content = gzip.compress(b"".join(b"line %d\n" % number for number in range(10_000)))
    plan = _with_input(ground, "cut.txt.gz", content[:-20], format="text")
    with pytest.raises(Exception, match="damaged or incomplete") as caught:
        preprocess(plan)
    told = explain_failure(caught.value)
    assert told is not None and "\n" not in told
    assert "cut.txt.gz: the file is damaged or incomplete" in told and "take it out of the inputs" in told
    assert not is_published(plan.shards_directory)


def empty_corpus(ground: Ground) -> None:
    """A corpus without one record that can be kept is refused, whether it has empty lines or no bytes."""
    for content, found in ((b"\n\n  \n", "none of 3 records can be kept .empty_text 3"), (b"", "none of 0 records")):
        plan = _with_input(ground, "empty.txt", content, format="text")
        with pytest.raises(InputError, match=found):
            preprocess(plan)
        assert not is_published(plan.shards_directory)


def missing_columns(ground: Ground) -> None:
    """A column that the file does not have is found before anything is started, with exit code 2."""
    with pytest.raises(SettingsError, match=r"label_column: .*has no column 'stars'; it has 'text', 'label'") as caught:
        _with_input(ground, "a.csv", b"text,label\nx,y\n", format="csv", label_column="stars")
    assert caught.value.exit_code == 2
    assert run_main(preprocess, ["--config", str(ground.own / "one.yaml")]) == 2
    assert not list((ground.own / "run").rglob("published.json"))


def _with_input(ground: Ground, name: str, content: bytes, **settings: Any) -> Plan:
    """A pipeline of this one file."""
    (ground.own / name).write_bytes(content)
    values = yaml.safe_load(Path(ground.plan().config).read_text())
    values["preprocess"]["inputs"] = [{"name": "one", "path": str(ground.own / name), **settings}]
    values["run_dir"] = str(ground.own / "run")
    config = ground.own / "one.yaml"
    config.write_text(yaml.safe_dump(values))
    return make_plan(str(config))
