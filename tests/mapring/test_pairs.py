"""Pairs as one string: both texts come back, and nothing that a text may hold is taken for what stands between."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapring.pairs import SEPARATOR, as_lines, join_pairs, shown, split_pair
from mapring.settings.normalization import Normalization
from mapring.text import normalize

texts = st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]) | st.just(SEPARATOR)), min_size=1)


@given(texts, st.booleans())
def test_normalized_texts_come_back_from_the_string_that_joins_them(found: list[str], keep_lines: bool) -> None:
    clean = normalize(pa.array(found), Normalization(keep_lines=keep_lines, unescape_html=True))
    other = clean.take(pa.array(range(len(found) - 1, -1, -1)))
    for joined, first, second in zip(join_pairs(clean, other), clean.to_pylist(), other.to_pylist(), strict=True):
        assert (joined.as_py() is None) == (not first or not second)
        if joined.is_valid:
            assert split_pair(joined.as_py()) == (first, second)


def test_a_pair_without_one_of_its_texts_is_none() -> None:
    joined = join_pairs(pa.array(["a", "", None, "a", "a"]), pa.array(["b", "b", "b", "", None]))
    assert joined.to_pylist() == [f"a{SEPARATOR}b", None, None, None, None]


def test_users_and_filters_do_not_see_the_control_character() -> None:
    assert shown(f"a{SEPARATOR}b") == "a | b"
    assert as_lines(pa.array([f"a{SEPARATOR}b", None, "c"])).to_pylist() == ["a\nb", None, "c"]


@pytest.mark.parametrize("text", ["a", f"a{SEPARATOR}b{SEPARATOR}c"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unpack"):
        split_pair(text)
