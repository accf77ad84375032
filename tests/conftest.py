"""Fixtures that several rooms share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from pipelines.stages import java_options

# The same examples on every machine, however busy (slow is not wrong): a failure here is one that all can see again.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("repeatable")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["PYSPARK_PYTHON"] = sys.executable
# Sessions in tests start as `mapring` starts its stages, which takes a fifth less time. One session makes the same
# plans again and again: with Spark's 100 entries their code would be compiled each time, a tenth of a preprocessing.
os.environ.setdefault("SPARK_SUBMIT_OPTS", f"{java_options()} -Dspark.sql.codegen.cache.maxEntries=4000")


@pytest.fixture(scope="session")
def spark_session_stopped_at_end() -> Iterator[None]:
    """Lets the tests of Spark stages share one session, which the first of them starts."""
    yield
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()
