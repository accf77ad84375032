"""The two corpora that are scored differ in nothing but how often a text stands in them."""

from __future__ import annotations

from collections import Counter

from benchmarks.operations.duplicates import numbered


def test_both_sides_have_as_many_rows_of_the_same_lengths() -> None:
    texts = [f"text {'x' * number}" for number in range(40)]
    repeated, different = numbered(texts, "repeated"), numbered(texts, "different")
    assert sorted(map(len, repeated)) == sorted(map(len, different))
    assert set(Counter(repeated).values()) == {2} and set(Counter(different).values()) == {1}
    assert len({len(row) - len(row.rsplit(" ", 1)[0]) for row in [*repeated, *different]}) == 1
