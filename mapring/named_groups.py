"""Whom a text names: the groups of a watch list whose names stand in it.

A name is a run of words, where a word is letters, their marks and digits up to the next other character, any other
character that is no space, and each character of scripts that put no space between words. So `S&P 500`, `AT&T` and
`阿里巴巴` are names, and `Ford` is in "Ford's plans" and not in "Fordham".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from mapring.pairs import SEPARATOR

# Chinese, Japanese, Korean, whose endings are written without a space, Thai, Lao, Burmese and Khmer.
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
_TAG = "<(?:card|email|ip|phone)>"  # in place of what was redacted
_WORD = re.compile(rf"{_TAG}|[{_SPACELESS}]|(?:[^\W{_SPACELESS}]|[{_MARKS}])+|[^\w\s]|{SEPARATOR}")
_SAME = str.maketrans({"\u2019": "'", "\u2011": "-", "\u00ad": None, "\u200b": None, "\u200c": None, "\u200d": None})

_Words = tuple[str, ...]


class NamedGroups:
    """A watch list.

    A name is found as it is written; one without a capital is found in any case. Of names that overlap in a text the
    one that begins first counts, of those the longest: "Ford Foundation" does not name Ford where the list has both.

    Args:
        names: of each group, as they stand in texts that are normalized alike; empty ones are passed over.
    """

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self._by_first: dict[str, dict[_Words, set[str]]] = {}
        for group, own in names.items():
            for name in own:
                words = words_of(name)
                if words:
                    self._by_first.setdefault(words[0].lower(), {}).setdefault(words, set()).add(group)
        self._longest = {
            first: sorted(candidates, key=len, reverse=True) for first, candidates in self._by_first.items()
        }

    def in_text(self, text: str) -> list[str]:
        """The groups that a text names, in the order of the alphabet."""
        words = words_of(text)
        lower = tuple(word.lower() for word in words)
        found: set[str] = set()
        place = 0
        while place < len(words):
            here = [
                name
                for name in self._longest.get(lower[place], ())
                if name in (words[place : place + len(name)], lower[place : place + len(name)])
            ]
            if not here:
                place += 1
                continue
            longest = len(here[0])
            for name in here:
                if len(name) == longest:
                    found |= self._by_first[lower[place]][name]
            place += longest
        return sorted(found)


def words_of(text: str) -> _Words:
    """The words of a text, a pair or a name, in order; there is one kind of apostrophe and of hyphen."""
    return tuple(_WORD.findall(text.translate(_SAME)))
