"""Files of the scores table: small inputs whole, large ones cut, every file of a bounded size."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.scores_layout import file_count, lay_out

INPUTS = st.dictionaries(st.tuples(st.sampled_from("xy"), st.integers(0, 99).map(str)), st.integers(1, 500))


@given(rows=INPUTS, rows_per_file=st.integers(1, 200))
def test_a_file_is_of_whole_inputs_or_a_part_of_one(rows: dict[tuple[str, str], int], rows_per_file: int) -> None:
    places = lay_out(rows, rows_per_file)
    assert places.keys() == rows.keys()
    inputs_of: dict[int, list[tuple[str, str]]] = {}
    for key, place in places.items():
        for number in range(place.first, place.first + place.files):
            inputs_of.setdefault(number, []).append(key)
    assert sorted(inputs_of) == list(range(file_count(places))), "every file has rows"
    for keys in inputs_of.values():
        assert sum(rows[key] for key in keys) <= rows_per_file or len(keys) == 1
        assert len(keys) == 1 or all(places[key].files == 1 for key in keys)
    for key, place in places.items():
        assert place.files == max(1, -(-rows[key] // rows_per_file))
    together = Counter({number: sum(rows[key] for key in keys) for number, keys in inputs_of.items()})
    packed = [number for number, keys in inputs_of.items() if all(places[key].files == 1 for key in keys)]
    pairs = itertools.pairwise(packed)
    assert all(together[a] + together[b] > rows_per_file for a, b in pairs if b == a + 1), "small inputs fill files"
