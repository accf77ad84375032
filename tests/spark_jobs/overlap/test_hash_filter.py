"""The bitmap never loses a known hash, lets few others pass, and has a bounded size."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import SparkSession

from spark_jobs.overlap.hash_filter import build_filter, filter_bits

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


def test_sizes_are_sixteen_slots_for_a_hash_within_bounds() -> None:
    assert [filter_bits(count, 20) for count in (0, 1, 4, 5, 1000, 1 << 16, 1 << 30)] == [6, 6, 6, 7, 14, 20, 20]


@pytest.mark.parametrize("most", [28, 10])
def test_known_hashes_pass_and_most_others_do_not(most: int) -> None:
    spark = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()
    generator = np.random.Generator(np.random.PCG64(7))
    known = generator.integers(0, 1 << 64, 3000, np.uint64, endpoint=False)
    rows = spark.createDataFrame([(value,) for value in known.view(np.int64).tolist()], "ngram long")
    found = build_filter(rows, len(known), most)
    assert found.may_hold(known).all()
    others = generator.integers(0, 1 << 64, 20_000, np.uint64, endpoint=False)
    passed = float(found.may_hold(others).mean())
    assert passed < 0.08 if most == 28 else passed > 0.5, "a full bitmap costs time, not truth"
    assert not found.may_hold(known[:0]).size
