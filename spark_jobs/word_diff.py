"""What differs between two texts, word by word and briefly."""

from __future__ import annotations

import difflib
import re

_DENSE = r"\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese and Japanese have no spaces between words
_WORD = re.compile(rf"\s*(?:[{_DENSE}]|[^\s{_DENSE}]+)")
_MOST_WORDS = 2000  # of each text; comparing costs their product
_MOST_CHANGES = 8
_CONTEXT = 3  # words shown on both sides of a change
_MOST_SHOWN = 20  # words of one change; longer ones are cut in their middle


def word_diff(old: str, new: str) -> str:
    """The first changes from old to new: `[-words of old-]` and `{+words of new+}`, with three words around.

    In scripts without spaces each letter counts as a word.
    """
    before, after = (_WORD.findall(text)[:_MOST_WORDS] for text in (old, new))
    bare_before, bare_after = ([word.lstrip() for word in words] for words in (before, after))
    changes = difflib.SequenceMatcher(None, bare_before, bare_after, autojunk=False).get_grouped_opcodes(_CONTEXT)
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
        return [_joined(old)]
    removed = [f"[-{_joined(old)}-]"] if old else []
    added = [f"{{+{_joined(new)}+}}"] if new else []
    return removed + added


def _joined(words: list[str]) -> str:
    if len(words) > _MOST_SHOWN:
        half = _MOST_SHOWN // 2
        return f"{_joined(words[:half])} ({len(words) - 2 * half:,} more) {_joined(words[-half:])}"
    return " ".join("".join(words).split())
