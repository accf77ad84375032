"""The Spark session: the master that a laptop's jobs run under."""

from __future__ import annotations

import pytest

from spark_jobs.session import with_retries


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
