"""Text: one normalization for all stages."""

from __future__ import annotations

import unicodedata
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapring.settings.normalization import Normalization
from mapring.text import normalize

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def one(text: str | None, **settings: Any) -> str | None:
    result: list[str | None] = normalize(pa.array([text], pa.string()), Normalization(**settings)).to_pylist()
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
    assert one("a &amp; b&nbsp;&#8211;", unescape_html=True) == "a & b \u2013"


@given(TEXT)
def test_normalize_is_idempotent_and_leaves_no_control_character_or_double_space(text: str) -> None:
    once = one(text)
    assert once is not None
    assert one(once) == once
    assert "  " not in once and once == once.strip()
    assert not any(unicodedata.category(character) == "Cc" for character in once)


def test_mojibake_is_repaired_only_where_asked() -> None:
    assert one("caf\u00c3\u00a9 \u00e2\u20ac\u0153ok\u00e2\u20ac\x9d") != "caf\u00e9 \u201cok\u201d"
    assert one("caf\u00c3\u00a9 \u00e2\u20ac\u201cok", fix_mojibake=True) == "caf\u00e9 \u2013ok"
    assert one("d\u00e9j\u00e0 vu", fix_mojibake=True) == "d\u00e9j\u00e0 vu"
    assert one(None, fix_mojibake=True) is None


def test_lines_are_kept_where_asked() -> None:
    raw = "  a  b \r\n\tc\u2028d\n \n\n \n e\x0bf  "
    assert one(raw, keep_lines=True) == "a b\nc\nd\n\ne\nf"
    assert one(raw) == "a b c d e f"


def test_case_is_lowered_after_the_unicode_form_and_before_redaction() -> None:
    assert one("\u212b STRASSE", lowercase=True, unicode_form="NFKC") == "\u00e5 strasse"
    assert one("Ask ME@Example.Com now", lowercase=True, redact=("email",)) == "ask <email> now"


SETTINGS = st.builds(
    Normalization,
    fix_mojibake=st.just(False),  # a repaired text may look misdecoded once more
    unescape_html=st.just(False),  # one level a call
    unicode_form=st.sampled_from(["NFC", "NFKC"]),
    lowercase=st.booleans(),
    keep_lines=st.booleans(),
    redact=st.sampled_from([(), ("email", "ip", "phone", "card")]),
)


@given(TEXT | st.from_regex(r"[ \n\t]*([+(]?[0-9 .:()@a-fA-F-]{0,20}[,;\n ]?){0,4}", fullmatch=True), SETTINGS)
def test_normalize_is_idempotent_under_all_settings_that_claim_it(text: str, settings: Normalization) -> None:
    once = normalize(pa.array([text], pa.string()), settings)
    assert normalize(once, settings) == once


@given(TEXT)
def test_repairs_never_crash(text: str) -> None:
    assert one(text, fix_mojibake=True, unescape_html=True, lowercase=True) is not None


def test_every_white_space_character_and_every_second_space_becomes_one_space() -> None:
    blanks = [chr(point) for point in range(0x3001) if chr(point).isspace() and not 0x1C <= point <= 0x1F]
    texts = [f"a{first}{second}b" for first in blanks for second in ("", " ", "\u00a0")]
    assert len(blanks) == 25
    assert set(normalize(pa.array(texts), Normalization()).to_pylist()) == {"a b"}
