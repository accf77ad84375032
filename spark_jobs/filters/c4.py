"""C4's cleaning of lines (Raffel et al. 2020, section 2.2); its rules for documents are in mapring.filter_rules."""

from __future__ import annotations

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


def clean_lines(texts: pa.StringArray) -> pa.StringArray:
    """Keep the lines that end in a terminal mark, have 5 words, and speak of neither JavaScript nor policies."""
    cleaned = [
        None if text is None else "\n".join(line for line in text.split("\n") if keeps(line))
        for text in texts.to_pylist()
    ]
    return pa.array(cleaned, pa.string())


def keeps(line: str) -> bool:
    """Whether C4 keeps a line; an ellipsis is not a terminal mark."""
    line = line.strip()
    if not line.endswith(TERMINAL) or line.endswith("..."):
        return False
    if len(line.split(None, WORDS_PER_LINE - 1)) < WORDS_PER_LINE:
        return False
    lowered = line.lower()
    return "javascript" not in lowered and not any(policy in lowered for policy in POLICIES)
