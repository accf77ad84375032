"""What differs between two texts, word by word and briefly."""

from __future__ import annotations

import difflib

_MOST_WORDS = 2000  # of each text; comparing costs their product
_MOST_CHANGES = 8
_CONTEXT = 3  # words shown on both sides of a change


def word_diff(old: str, new: str) -> str:
    """The first changes from old to new: `[-words of old-]` and `{+words of new+}`, with three words around."""
    before, after = old.split()[:_MOST_WORDS], new.split()[:_MOST_WORDS]
    changes = difflib.SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(_CONTEXT)
    parts: list[str] = []
    shown = 0
    for group in changes:
        if shown >= _MOST_CHANGES:
            parts.append("and more")
            break
        for tag, first, last, low, high in group:
            shown += tag != "equal"
            parts.extend(_part(tag, before[first:last], after[low:high]))
        parts.append("...")
    if not parts:
        return "no word differs"
    return " ".join(parts).removesuffix(" ...")


def _part(tag: str, old: list[str], new: list[str]) -> list[str]:
    if tag == "equal":
        return [" ".join(old)]
    removed = [f"[-{' '.join(old)}-]"] if old else []
    added = [f"{{+{' '.join(new)}+}}"] if new else []
    return removed + added
