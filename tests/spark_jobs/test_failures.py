"""Failures of Spark, told in one line where it is known what they mean, and else not."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest
from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException

from spark_jobs.failures import explain_failure


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_by_its_file(code: int) -> None:
    told = explain_failure(OSError(code, "No space left on device", "/scratch/x"))
    assert told is not None and told.startswith("the disk of /scratch/x is full") and "make room there" in told


def test_a_full_disk_of_spark_is_told_by_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "/scratch")
    told = explain_failure(PySparkException("... java.io.IOException: No space left on device\n\tat a.b.C(D.java:1)"))
    assert told is not None and "SPARK_LOCAL_DIRS=/scratch" in told and "\n" not in told


def test_an_error_of_ours_is_told_in_its_own_words() -> None:
    text = "An exception was thrown\nTraceback\nmapring.errors.InputError: a.gz: damaged: replace it\n\tat x"
    assert explain_failure(PySparkException(text)) == "a.gz: damaged: replace it"


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "Connection refused"), Py4JError("lost")])
def test_the_java_process_is_gone_only_where_it_does_not_answer(
    error: ConnectionError | Py4JError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise ConnectionRefusedError

    for answer, is_gone in ((int, False), (refuse, True)):
        gateway = SimpleNamespace(jvm=SimpleNamespace(System=SimpleNamespace(nanoTime=answer)))
        monkeypatch.setattr(SparkContext, "_gateway", gateway)
        told = explain_failure(error)
        assert (told is not None and "Java process of Spark's driver is gone" in told) is is_gone


@pytest.mark.parametrize(
    ("text", "told"),
    [("ExecutorLostFailure (executor 1 exited)", "whose executor was lost"), ("cannot resolve column x", None)],
)
def test_what_is_not_known_keeps_its_stack_trace(text: str, told: str | None) -> None:
    found = explain_failure(PySparkException(text))
    assert found is None if told is None else told in str(found)
