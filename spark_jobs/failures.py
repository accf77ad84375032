"""What a failure of Spark means, in one line for the user: what was found, what was expected, what to do."""

from __future__ import annotations

import os

from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from mapring.full_disk import is_full

_OURS = "mapring.errors."
_FULL = ("No space left on device", "Disk quota exceeded")
_LOST_WORKER = ("Python worker exited unexpectedly", "Python worker process terminated")
_LOST_EXECUTOR = ("ExecutorLostFailure", "Executor heartbeat timed out", "Master removed our application")
_TOO_LARGE = "spark.driver.maxResultSize"
_AGAIN = "nothing was published; run the same command again"


def explain_failure(error: PySparkException | Py4JError | OSError) -> str | None:
    """The line for the user, or None where nothing is known about a failure and its stack trace must tell.

    An error of ours that a task raised is told in its own words.
    """
    text = str(error)
    ours = _raised_in_worker(text)
    if ours is not None:
        return ours
    if (isinstance(error, OSError) and is_full(error)) or any(sign in text for sign in _FULL):
        return _tell_full(error, text)
    if _is_jvm_gone(error):
        return (
            "the Java process of Spark's driver is gone, expected it to live to the end; it was killed, by somebody or "
            f"by the system for want of memory (spark.driver_memory, or the machine's); {_AGAIN}"
        )
    if _TOO_LARGE in text:
        return (
            f"found more for the driver than {_TOO_LARGE} allows (1g unless it is set), expected less; raise it, in "
            f"spark.conf, and spark.driver_memory where the driver has too little; {_AGAIN}"
        )
    if any(sign in text for sign in _LOST_WORKER):
        return (
            "found a task whose Python worker was killed at every attempt, expected one to live; the system does that "
            f"where memory runs out: use fewer cores (spark.master) or a machine with more memory; {_AGAIN}"
        )
    if any(sign in text for sign in _LOST_EXECUTOR):
        return (
            "found a task whose executor was lost at every attempt, expected one to live; where memory ran out, raise "
            f"spark.executor.memory (in spark.conf) or use fewer cores an executor; {_AGAIN}"
        )
    return None


def _raised_in_worker(text: str) -> str | None:
    """The message of one of our own errors that a Python worker raised, taken out of Spark's stack trace."""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith(_OURS) and ": " in stripped:
            return stripped.split(": ", 1)[1]
    return None


def _tell_full(error: Exception, text: str) -> str:
    if isinstance(error, OSError) and error.filename:
        place = f"the disk of {error.filename}"
    else:
        place = f"a disk of Spark's intermediate data ({_local_folder()})"
    found = next(sign for sign in (*_FULL, text) if sign in text)
    return f'{place} is full: found "{found}", expected room; make room there, or name another place; {_AGAIN}'


def _local_folder() -> str:
    """Where Spark keeps what it shuffles, by the setting that names it."""
    if "SPARK_LOCAL_DIRS" in os.environ:
        return f"SPARK_LOCAL_DIRS={os.environ['SPARK_LOCAL_DIRS']}"
    session = SparkSession.getActiveSession()  # none where the disk was full before it was made
    folder = (SparkConf() if session is None else session.sparkContext.getConf()).get("spark.local.dir")
    return f"spark.local.dir={folder}" if folder else "spark.local.dir, /tmp unless it is set in spark.conf"


def _is_jvm_gone(error: Exception) -> bool:
    """Whether the driver's JVM no longer answers; a refused connection may be one of a remote store."""
    gateway = SparkContext._gateway
    if gateway is None or not isinstance(error, Py4JError | ConnectionError):
        return False
    try:
        gateway.jvm.System.nanoTime()
    except (Py4JError, OSError):
        return True
    return False
