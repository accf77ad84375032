r"""A pair of texts as one string, which goes through filters, duplicates and hashes as any other document does.

The two stand one behind the other with U+001E (record separator) between, a control character that normalization
takes out of every text. So `text.split("\x1e")` gives both back, and different pairs are different strings.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

SEPARATOR = "\x1e"
_SHOWN = " | "


def join_pairs(firsts: pa.StringArray, seconds: pa.StringArray) -> pa.StringArray:
    """Normalized texts joined two by two; null where one of the two is null or empty."""
    either = pc.or_(*(pc.fill_null(pc.equal(texts, ""), True) for texts in (firsts, seconds)))
    return pc.if_else(either, pa.scalar(None, pa.string()), pc.binary_join_element_wise(firsts, seconds, SEPARATOR))


def split_pair(text: str) -> tuple[str, str]:
    """The two texts of a joined one. Raises ValueError where it is not one."""
    first, second = text.split(SEPARATOR)
    return first, second


def as_lines(texts: pa.StringArray) -> pa.StringArray:
    """Pairs as single texts, each of the two on lines of its own, for what looks at words, lines and sentences."""
    return pc.replace_substring(texts, SEPARATOR, "\n")


def shown(text: str) -> str:
    """A text as users see it, with a bar between the two of a pair."""
    return text.replace(SEPARATOR, _SHOWN)
