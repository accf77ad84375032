"""Steps side by side: all results are there, and one that fails ends the others' jobs."""

from __future__ import annotations

import threading
import time

import pytest
from pyspark.sql import SparkSession

from mapring.errors import StageError
from spark_jobs.session import watch
from spark_jobs.side_by_side import SideBySide


@pytest.fixture(scope="module")
def spark() -> SparkSession:
    return SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()


def test_steps_run_at_the_same_time_and_give_their_results(spark: SparkSession) -> None:
    meeting = threading.Barrier(2, timeout=30)

    def step(number: int) -> int:
        meeting.wait()
        return spark.range(number).count()

    with SideBySide(spark) as steps:
        first, second = steps.start(lambda: step(3)), steps.start(lambda: step(5))
    assert (first.result(), second.result()) == (3, 5)


def test_the_first_failure_ends_the_jobs_of_the_others_and_is_told(spark: SparkSession) -> None:
    started = threading.Event()

    def endless() -> None:
        started.set()
        with watch(spark, "test", "endless"):
            spark.range(4).rdd.foreach(lambda _: time.sleep(300))

    def fail() -> None:
        started.wait(30)
        time.sleep(1)
        raise StageError("no room")

    began = time.monotonic()
    with pytest.raises(StageError, match="no room"), SideBySide(spark) as steps:
        steps.start(endless)
        steps.start(fail)
    assert time.monotonic() - began < 60
    assert spark.range(7).count() == 7  # the session goes on


def test_a_failure_of_the_block_itself_ends_all_steps(spark: SparkSession) -> None:
    with pytest.raises(KeyError), SideBySide(spark) as steps:
        running = steps.start(lambda: spark.range(4).rdd.foreach(lambda _: time.sleep(300)))
        while not running.running():
            time.sleep(0.01)
        time.sleep(1)
        raise KeyError
    assert running.exception() is not None
