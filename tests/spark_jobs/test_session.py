"""The Spark session: the master and the defaults that a laptop's jobs run under."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from mapring.settings import load_settings
from spark_jobs.session import start_session, with_retries
from tests.tiny import write_world

ADAPTIVE = "spark.sql.adaptive.enabled"


@pytest.mark.parametrize(
    ("master", "expected"),
    [
        ("local", "local[1,4]"),
        ("local[3]", "local[3,4]"),
        ("local[*]", "local[*,4]"),
        ("local[2,1]", "local[2,1]"),
        ("local-cluster[2,1,1024]", "local-cluster[2,1,1024]"),
        ("spark://host:7077", "spark://host:7077"),
        ("yarn", "yarn"),
    ],
)
def test_local_masters_try_a_task_again(master: str, expected: str) -> None:
    assert with_retries(master, "4") == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["spark.master=local[2]"], "false"),
        (["spark.master=local[*,4]"], "false"),
        (["spark.master=local[2]", f"spark.conf.{ADAPTIVE}=true"], "true"),
        (["spark.master=yarn"], None),
    ],
)
def test_one_machine_plans_once_unless_it_is_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: str | None
) -> None:
    found: dict[str, str] = {}

    class Builder(SparkSession.Builder):
        def config(self, key: str, value: str) -> Builder:  # type: ignore[override]
            found[key] = value
            return self

        def getOrCreate(self) -> SparkSession:  # noqa: N802
            raise KeyboardInterrupt

    monkeypatch.setattr(SparkSession, "builder", Builder())
    config, _ = write_world(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        start_session(load_settings(config, words), "preprocess")
    assert found.get(ADAPTIVE) == expected
