"""Canonical texts: the quick way for ASCII and the one for all scripts give the same."""

from __future__ import annotations

import re

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.dedup.canonical import canonical

ASCII = st.text(st.characters(max_codepoint=127), max_size=12)
ANY = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(" .aZ\n")), max_size=12)


def test_words_are_lower_case_with_one_space_between_them() -> None:
    found = canonical(pa.array(["  Hello,\tWorld! ", "", "...", "Straße—ÉCOLE 中文", "a_b-C3"]))
    assert found.to_pylist() == ["hello world", "", "", "straße école 中文", "a b c3"]


@given(st.lists(ASCII, max_size=6), st.integers(0, 3))
def test_ascii_is_treated_as_a_regular_expression_would(texts: list[str], skipped: int) -> None:
    found = canonical(pa.array(texts, pa.string()).slice(skipped))
    found.validate(full=True)
    assert found.to_pylist() == [re.sub("[^a-z0-9]+", " ", text.lower()).strip() for text in texts[skipped:]]


@given(st.lists(st.one_of(ASCII, ANY), max_size=6))
def test_a_text_is_the_same_whatever_stands_beside_it(texts: list[str]) -> None:
    alone = [canonical(pa.array([text], pa.string()))[0].as_py() for text in texts]
    assert canonical(pa.array(texts, pa.string())).to_pylist() == alone
    assert canonical(pa.array(alone, pa.string())).to_pylist() == alone
