"""The Spark session: the master and the defaults that a laptop's jobs run under."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapring.settings import load_settings
from spark_jobs.session import defaults_of, start_session, with_retries
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


@pytest.mark.parametrize("master", ["local", "local[2]", "local[*]", "local[*,4]"])
def test_one_machine_plans_once(master: str) -> None:
    assert defaults_of(master)[ADAPTIVE] == "false"


@pytest.mark.parametrize("master", ["local-cluster[2,1,1024]", "spark://host:7077", "yarn"])
def test_executors_elsewhere_have_spark_s_own_planning(master: str) -> None:
    assert ADAPTIVE not in defaults_of(master)


@pytest.mark.usefixtures("spark_session_stopped_at_end")
def test_the_settings_have_the_last_word(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    conf = [f"spark.conf.{ADAPTIVE}=true", "spark.conf.spark.sql.session.timeZone=Asia/Tokyo"]
    session = start_session(load_settings(config, conf), "preprocess")
    assert session.conf.get(ADAPTIVE) == "true"
    assert session.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"
    session = start_session(load_settings(config), "preprocess")
    assert session.conf.get(ADAPTIVE) == "false" and session.conf.get("spark.sql.session.timeZone") == "UTC"
