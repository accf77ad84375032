"""C4's cleaning of lines (Raffel et al. 2020, section 2.2); its rules for documents are in mapring.filter_rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa

WORDS_PER_LINE = 5  # as printed in JMLR and in the released code; the first preprint said 3
TERMINAL = (".", "?", "!", '"', "'", "\u201d")
POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")  # as in the released code
_LONGEST_WORD = 1000


def clean_lines(texts: pa.StringArray) -> pa.StringArray:
    """Keep the lines that end in a terminal mark, have 5 words, and speak of neither JavaScript nor policies.

    Marks of citations, as Wikipedia has them, are taken out first.
    """
    cleaned = [None if text is None else "\n".join(_kept(text)) for text in texts.to_pylist()]
    return pa.array(cleaned, pa.string())


def _kept(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        without = _CITATION.sub("", line).strip() if "[" in line else line
        if keeps(without):
            yield without


def keeps(line: str) -> bool:
    """Whether C4 keeps a line without citations; an ellipsis is no terminal mark, and no word of it is too long."""
    line = line.strip()
    if not line.endswith(TERMINAL) or line.endswith("..."):
        return False
    if len(line.split(None, WORDS_PER_LINE - 1)) < WORDS_PER_LINE:
        return False
    if len(line) > _LONGEST_WORD and any(len(word) > _LONGEST_WORD for word in line.split()):
        return False
    lowered = line.lower()
    return "javascript" not in lowered and not any(policy in lowered for policy in POLICIES)
