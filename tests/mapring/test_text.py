"""Text: one normalization for all stages."""

from __future__ import annotations

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapring.text import normalize

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def one(text: str | None, *, html: bool = False) -> str | None:
    result: list[str | None] = normalize(
        pa.array([text], pa.string()), unicode_form="NFC", unescape_html=html
    ).to_pylist()
    return result[0]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  a \t\r\n b  ", "a b"),
        ("a\x00b\x1fc\x7fd\ufeffe", "abcde"),
        ("a\u00a0\u2028\u3000\x0b\x0c\u0085b", "a b"),
        ("e\u0301", "\u00e9"),
        ("\x00\x01", ""),
        (None, None),
    ],
)
def test_normalize(raw: str | None, expected: str | None) -> None:
    assert one(raw) == expected


def test_html_entities_are_unescaped_only_where_asked() -> None:
    assert one("a &amp; b &#8211;") == "a &amp; b &#8211;"
    assert one("a &amp; b&nbsp;&#8211;", html=True) == "a & b \u2013"


@given(TEXT)
def test_normalize_is_idempotent_and_leaves_no_control_character_or_double_space(text: str) -> None:
    once = one(text)
    assert once is not None
    assert one(once) == once
    assert "  " not in once and once == once.strip()
    assert not any(unicodedata.category(character) == "Cc" for character in once)
