"""Small changes to a text that leave its meaning, to see how much a model's answers hang on them.

Typing errors, other cases, dropped and swapped words: the perturbations of Belinkov and Bisk (2018) and Wei and Zou
(2019). What is changed is a function of (text, document id, seed) and of nothing else. A text that is not empty stays
so, and what readers see as one character (a letter with its accents, an emoji with its modifiers) stays in one piece.

Words stand between white space. Where a script writes none, a word is a number of characters: two for typing errors,
about as long as a Chinese word is, and one where words are dropped or swapped.
"""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from mapring.errors import SettingsError

Choice = TypeVar("Choice")

SHARE = 0.1  # of the words

_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # QWERTY; each row lies half a key further right than the one above
_SPACELESS = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Tibetan, Burmese, Khmer
    "\u3001-\u312f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese, Japanese
    "\uff01-\uff9f"  # full-width and half-width forms
)
_EXTENDING = "\u0300-\u036f\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"  # what may follow such a character
_PIECES = re.compile(rf"\s+|[{_SPACELESS}][{_SPACELESS}{_EXTENDING}]*|[^\s{_SPACELESS}]+")
_SPACELESS_START = re.compile(rf"[{_SPACELESS}]")
_JOINER = "\u200d"


def is_spaceless(character: str) -> bool:
    """Whether a character is of a script that puts no spaces between words, and no accent or vowel sign of it."""
    return _SPACELESS_START.match(character) is not None and not unicodedata.category(character).startswith("M")


def perturb(text: str, kind: str, *, doc_id: str, seed: int, share: float = SHARE) -> str:
    """The text with one of the `KINDS` of perturbations.

    Args:
        text: any text.
        kind: one of `KINDS`.
        doc_id: the document's id: two documents of the same text are changed in different places.
        seed: another one changes other places.
        share: of the words, from 0 to 1; not used by changes of case, which are of the whole text.

    Raises:
        SettingsError: the kind is unknown, or the share is not from 0 to 1.
    """
    if kind not in _PERTURBATIONS:
        raise SettingsError(f"perturbation: found {kind!r}, expected one of {', '.join(KINDS)}; correct the name")
    return _PERTURBATIONS[kind](text, doc_id, seed, share)


def typos(text: str, *, doc_id: str, seed: int, share: float = SHARE) -> str:
    """One typing error in each of so many words: letters swapped, dropped, doubled, or the key beside hit.

    Only words with a letter or digit count; one of them is changed at least, unless the share is 0. Neighbouring keys
    are known for the 26 Latin letters.
    """
    pieces, words = _pieces(text, run=2)
    usable = [place for place in words if any(character.isalnum() for character in pieces[place])]
    draws = _draws("typos", doc_id, seed)
    for place in _chosen(usable, _number(share, len(usable)), draws):
        pieces[place] = _typo(pieces[place], draws)
    return "".join(pieces)


def drop_words(text: str, *, doc_id: str, seed: int, share: float = SHARE) -> str:
    """The text without so many of its words; one is dropped at least, unless the share is 0, and one stays."""
    pieces, words = _pieces(text, run=1)
    count = min(_number(share, len(words)), max(len(words) - 1, 0))
    dropped = set(_chosen(words, count, _draws("drop_words", doc_id, seed)))
    kept: list[str] = []
    for place, piece in enumerate(pieces):
        if place in dropped:
            continue
        if piece.isspace() and place - 1 in dropped and (not kept or kept[-1].isspace()):
            if kept and "\n" in piece:
                kept[-1] = piece  # of the spaces on both sides of a dropped word one stays; rather the end of a line
            continue
        kept.append(piece)
    if kept and kept[-1].isspace() and not pieces[-1].isspace():
        kept.pop()
    return "".join(kept)


def swap_words(text: str, *, doc_id: str, seed: int, share: float = SHARE) -> str:
    """So many of the words in each other's place, pairs of different ones that follow each other.

    One pair is swapped at least, unless the share is 0 or there is none. White space stays where it is.
    """
    pieces, words = _pieces(text, run=1)
    wanted = max(1, round(_number(share, len(words)) / 2)) if share else 0
    starts = [index for index in range(len(words) - 1) if pieces[words[index]] != pieces[words[index + 1]]]
    swapped: set[int] = set()
    for index in _chosen(starts, len(starts), _draws("swap_words", doc_id, seed)):
        if len(swapped) < 2 * wanted and index not in swapped and index + 1 not in swapped:
            first, second = words[index], words[index + 1]
            pieces[first], pieces[second] = pieces[second], pieces[first]
            swapped |= {index, index + 1}
    return "".join(pieces)


def lower_case(text: str) -> str:
    """The text in lower case."""
    return text.lower()


def upper_case(text: str) -> str:
    """The text in upper case."""
    return text.upper()


def title_case(text: str) -> str:
    """The text with the first letter of each word as in titles, and all others in lower case."""
    pieces, _ = _pieces(text, run=1)
    return "".join(_titled(piece.lower()) for piece in pieces)


def _titled(word: str) -> str:
    for place, character in enumerate(word):
        if character.isalpha():
            return word[:place] + character.title() + word[place + 1 :]
    return word


_PERTURBATIONS: Mapping[str, Callable[[str, str, int, float], str]] = {
    "typos": lambda text, doc_id, seed, share: typos(text, doc_id=doc_id, seed=seed, share=share),
    "drop_words": lambda text, doc_id, seed, share: drop_words(text, doc_id=doc_id, seed=seed, share=share),
    "swap_words": lambda text, doc_id, seed, share: swap_words(text, doc_id=doc_id, seed=seed, share=share),
    "lower_case": lambda text, *_: lower_case(text),
    "upper_case": lambda text, *_: upper_case(text),
    "title_case": lambda text, *_: title_case(text),
}
KINDS = tuple(_PERTURBATIONS)


def _typo(word: str, draws: random.Random) -> str:
    """The word with one typing error, of those that change it; the word has a letter or digit."""
    parts = _characters(word)
    typed = [place for place, part in enumerate(parts) if part[0].isalnum()]
    possible = {
        "swap": [place for place in typed if place + 1 in typed and parts[place] != parts[place + 1]],
        "drop": typed if len(parts) > 1 else [],
        "double": typed,
        "neighbour": [place for place in typed if parts[place].lower() in _NEIGHBOURS],
    }
    kind = _one_of([kind for kind, places in possible.items() if places], draws)
    place = _one_of(possible[kind], draws)
    part = parts[place]
    if kind == "swap":
        parts[place : place + 2] = [parts[place + 1], part]
    elif kind == "drop":
        del parts[place]
    elif kind == "double":
        parts[place] = part + part
    else:
        beside = _one_of(_NEIGHBOURS[part.lower()], draws)
        parts[place] = beside if part.islower() else beside.upper()
    return "".join(parts)


def _neighbours() -> dict[str, str]:
    """The letters around each letter of the keyboard, in alphabetical order."""
    places = {
        letter: (row, column + row / 2)
        for row, letters in enumerate(_KEYBOARD)
        for column, letter in enumerate(letters)
    }
    return {
        letter: "".join(
            sorted(
                other
                for other, (other_row, other_column) in places.items()
                if other != letter and abs(other_row - row) <= 1 and abs(other_column - column) <= 1
            )
        )
        for letter, (row, column) in places.items()
    }


_NEIGHBOURS = _neighbours()


def _pieces(text: str, run: int) -> tuple[list[str], list[int]]:
    """The text in pieces, and the places of those that are words; the others are white space.

    Args:
        text: any text.
        run: how many characters make a word of a script without spaces.
    """
    pieces: list[str] = []
    for piece in _PIECES.findall(text):
        if _SPACELESS_START.match(piece):
            parts = _characters(piece)
            pieces += ["".join(parts[start : start + run]) for start in range(0, len(parts), run)]
        else:
            pieces.append(piece)
    return pieces, [place for place, piece in enumerate(pieces) if not piece.isspace()]


def _characters(text: str) -> list[str]:
    """What a reader sees as characters, nearly as Unicode's annex 29 has it; joined they are the text."""
    if text.isascii():
        return list(text)
    found: list[str] = []
    for character in text:
        if found and _extends(found[-1], character):
            found[-1] += character
        else:
            found.append(character)
    return found


def _extends(before: str, character: str) -> bool:
    """Whether a code point belongs to the character before it."""
    return (
        unicodedata.category(character).startswith("M")
        or character in "\u200c\u200d\u0e33\u0eb3"  # joiners; Thai's and Lao's am, a vowel with a mark in front
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= character <= "\U000e007f"  # tags, of the flags of regions
        or "\u1160" <= character <= "\u11ff"  # vowels and last consonants of decomposed Hangul
        or before.endswith(_JOINER)
        or (len(before) == 1 and _is_regional(before) and _is_regional(character))  # two make a flag
    )


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _number(share: float, words: int) -> int:
    """How many of the words are changed."""
    if not 0 <= share <= 1:
        raise SettingsError(f"share of words: found {share}, expected a number from 0 to 1, such as {SHARE}")
    return min(words, max(1, round(share * words))) if share else 0


def _draws(kind: str, doc_id: str, seed: int) -> random.Random:
    """A generator of which only `random()` is used, whose numbers Python promises to keep."""
    digest = hashlib.sha256(f"{kind} {seed} {doc_id}".encode("utf-8", "surrogatepass")).digest()
    return random.Random(int.from_bytes(digest[:16], "big"))


def _chosen(places: Sequence[int], count: int, draws: random.Random) -> list[int]:
    """`count` of the places in random order."""
    order = sorted((draws.random(), place) for place in places)
    return [place for _, place in order[:count]]


def _one_of(choices: Sequence[Choice], draws: random.Random) -> Choice:
    return choices[int(draws.random() * len(choices))]
