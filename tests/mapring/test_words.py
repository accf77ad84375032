"""Words: segmentation, stop words, lengths; never a crash."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mapring.settings.words import Words
from mapring.words import stop_words, words

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def of(text: str | None, **settings: Any) -> list[str]:
    found: list[str] = words(pa.array([text], pa.string()), Words(**settings)).to_pylist()[0]
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's GOOD, isn\u2019t it?", ["it's", "good", "isn't", "it"]),
        ("'quoted' x_1 -- 3.5 %", ["quoted", "x_1", "3", "5"]),
        ("\u00fcber na\u00efve e\u0301", ["\u00fcber", "na\u00efve", "e\u0301"]),
        ("\u4eca\u5929\u5f88\u597d", ["\u4eca\u5929\u5f88\u597d"]),
        (" ... ' ", []),
        ("", []),
        (None, []),
    ],
)
def test_words(text: str | None, expected: list[str]) -> None:
    assert of(text) == expected


def test_chinese_is_segmented_where_asked() -> None:
    text = "\u6211\u6765\u5230\u5317\u4eac\u6e05\u534e\u5927\u5b66, hello"
    found = of(text, segmenter="chinese")
    assert "\u5317\u4eac" in found and "hello" in found and len(found) > 3


def test_case_stop_words_and_short_words_go_only_where_asked() -> None:
    assert of("The Cat and A dog", lowercase=False) == ["The", "Cat", "and", "A", "dog"]
    assert of("The Cat and A dog", stop_words=("en",)) == ["cat", "dog"]
    assert of("The Cat and A dog", lowercase=False, stop_words=("en",)) == ["Cat", "dog"]
    assert of("a bc def", minimum_length=2) == ["bc", "def"]


def test_an_unknown_language_of_stop_words_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="found 'xx', which has no list of stop words"):
        Words(stop_words=("en", "xx"))
    assert len(stop_words(("zh",))) > 100


@given(
    st.lists(st.none() | TEXT, max_size=5), st.sampled_from(["unicode", "chinese"]), st.booleans(), st.integers(1, 3)
)
def test_words_of_a_batch_are_those_of_each_text_alone(
    texts: list[str | None], segmenter: str, lowercase: bool, minimum: int
) -> None:
    settings = {"segmenter": segmenter, "lowercase": lowercase, "minimum_length": minimum, "stop_words": ("en",)}
    together = words(pa.array(texts, pa.string()), Words(**settings)).to_pylist()
    assert together == [of(text, **settings) for text in texts]
    assert all(len(word) >= minimum for found in together for word in found)
