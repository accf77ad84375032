"""Which column holds the text, the label, an id and a time: guessed from names and values, never without a reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mapring.values import moment_of, number_of

Value = str | tuple[str, ...] | None  # as a file has it: one value, a list of several, or none
Columns = Mapping[str, Sequence[Value]]

_TEXT_NAMES = (  # those of one line are taken for equally likely
    ("text", "texts", "utterance", "sentence", "tweet"),
    ("body", "content", "review", "comment", "message", "document", "article", "post"),
)
_LABEL_NAMES = (  # those of one line are taken for equally likely
    ("label", "labels", "target", "targets", "class", "classes", "y"),
    ("category", "categories", "intent", "sentiment", "topic", "topics", "genre", "genres", "emotion", "polarity"),
    ("tag", "tags", "rating", "ratings", "stars", "score", "grade", "type", "sentiments"),
)
_ID_NAME = re.compile(r"(?i)(^|_|\b)(u?uid|guid|id|key)$|[a-z]Id$|ID$")
_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # created_at and createdAt have the parts created and at
_TIME_NAMES = ("date", "time", "timestamp", "datetime", "created", "posted", "published", "updated", "pubdate")
_CHINESE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")  # also Kana, Hangul and Thai
_FEW = 50  # different values that a column of classes may have whatever its rows
_MOST_SHARE_OF_CLASSES = 0.1  # of the rows; beyond both it is no column of classes unless its name says so
_SURELY_CLASSES = 20  # different values up to which the only such column is taken unasked
_MUCH_LONGER = 3.0
LEAST_TIMES = 0.98  # share that can be read of a column of times; beyond 5 % unread ones a scoring fails
_DATE = re.compile(  # also as people write them, such as 24.12.2026 or 12/24/26; 1.10.0 is a version
    r"(?:\d{4}([./-])\d\d?\1\d\d?|\d\d?([./-])\d\d?\2(?:\d{4}|\d\d))(?:[ T,].*)?"
)
_SECONDS = (1e8, 1e10)  # since 1970: from 1973 to 2286


@dataclass(frozen=True)
class Column:
    """A column and what its values look like; shares are of the rows that have one."""

    name: str
    values: Sequence[Value]

    @cached_property
    def filled(self) -> list[str | tuple[str, ...]]:
        """Values that are there."""
        return [value for value in self.values if value is not None and (isinstance(value, tuple) or value.strip())]

    @cached_property
    def texts(self) -> list[str]:
        """Single values that are there."""
        return [value for value in self.filled if isinstance(value, str)]

    @cached_property
    def distinct(self) -> int:
        """Number of different values."""
        return len(set(self.filled))

    @cached_property
    def has_lists(self) -> bool:
        """Whether a value is a list."""
        return len(self.texts) < len(self.filled)

    @cached_property
    def number_share(self) -> float:
        """Share of the values that are finite numbers."""
        return _share([number_of(text) is not None for text in self.texts])

    @cached_property
    def time_share(self) -> float:
        """Share of the values that are moments as the scores table reads them: ISO 8601, or seconds since 1970."""
        return _share([_is_time(text) for text in self.texts])

    @cached_property
    def prose_share(self) -> float:
        """Share of the values with three words or more, or six signs of a script without spaces."""
        return _share([len(text.split()) >= 3 or len(_CHINESE.findall(text)) >= 6 for text in self.texts])

    @cached_property
    def mean_characters(self) -> float:
        """Mean length of the values."""
        return sum(map(len, self.texts)) / len(self.texts) if self.texts else 0.0

    @property
    def is_unique(self) -> bool:
        """Whether every row has a value of its own."""
        return len(self.values) > 1 and self.distinct == len(self.values)

    @property
    def names_rows(self) -> bool:
        """Whether each row has a value of its own that is no fraction, as measurements are."""
        return self.is_unique and _share(["." in text and number_of(text) is not None for text in self.texts]) < 0.5

    @property
    def has_few_values(self) -> bool:
        """Whether the values may be classes: at least two, each in several rows."""
        most = max(_FEW, _MOST_SHARE_OF_CLASSES * len(self.filled))
        return 2 <= self.distinct <= most and 2 * self.distinct <= len(self.filled)


@dataclass(frozen=True)
class Guess:
    """A column and why, or none; `candidates` are those among which only a person can choose."""

    name: str | None
    why: str
    candidates: tuple[str, ...] = ()


def measured(columns: Columns) -> dict[str, Column]:
    """Columns by their names, in their order."""
    return {name: Column(name, values) for name, values in columns.items()}


def guess_text(columns: Mapping[str, Column]) -> Guess:
    """The column to read: one of prose; of several the one named so, or that is much longer than all others."""
    prose = [one for one in columns.values() if one.prose_share >= 0.3 and max(one.number_share, one.time_share) < 0.5]
    if not prose:
        words = [one for one in columns.values() if one.texts and max(one.number_share, one.time_share) < 0.5]
        named = [one for one in words if one.name.strip().lower() in (*_TEXT_NAMES[0], *_TEXT_NAMES[1])]
        if len(named) == 1:
            return Guess(named[0].name, f"its name; most of its values are short, as {shown(named[0], 30)}")
        return Guess(None, "no column has texts of three words or more", tuple(one.name for one in words))
    if len(prose) == 1:
        return Guess(prose[0].name, f"the only column of prose, {prose[0].mean_characters:.0f} characters on average")
    longest = sorted(prose, key=lambda one: -one.mean_characters)
    first = ", ".join(f"{one.name} {one.mean_characters:.0f}" for one in longest[:4]) + " characters on average"
    if longest[0].mean_characters >= _MUCH_LONGER * longest[1].mean_characters:
        return Guess(longest[0].name, f"the longest column of prose: {first}")
    for names in _TEXT_NAMES:
        named = [one for one in prose if one.name.strip().lower() in names]
        if len(named) == 1:
            return Guess(named[0].name, f"its name; {first}")
        if named:
            break
    return Guess(None, f"several columns hold prose: {first}", tuple(one.name for one in longest))


def guess_label(columns: Mapping[str, Column], text: str, *, is_sure: bool = True) -> Guess:
    """The column to learn: one named so; else the only one with few different values, if it is sure that there is one.

    Pairs of texts are not: those without a label belong together.
    """
    others = [one for one in columns.values() if one.name != text and one.filled]
    for names in _LABEL_NAMES:
        named = [one for one in others if one.name.strip().lower() in names and not one.names_rows]
        if len(named) == 1:
            return Guess(named[0].name, "its name")
        if named:
            return Guess(None, "several columns are named like labels", tuple(one.name for one in named))
    some = [
        one for one in others if (one.has_few_values or one.has_lists) and not _is_id(one) and not _is_time_like(one)
    ]
    if is_sure and len(some) == 1 and some[0].distinct <= _SURELY_CLASSES:
        return Guess(some[0].name, f"the only column with few different values ({some[0].distinct})")
    if some:
        what = "several columns have" if len(some) > 1 else "one column has"
        return Guess(None, f"{what} few different values, none is named like a label", tuple(one.name for one in some))
    label_names = [name for line in _LABEL_NAMES for name in line]
    unique = next((one.name for one in others if one.name.strip().lower() in label_names and one.names_rows), None)
    if unique is not None:
        return Guess(None, f"column {unique!r} has another value in each row, and no other is named like a label")
    return Guess(None, "no column is named like a label or has few different values")


def guess_id(columns: Mapping[str, Column], used: Sequence[str | None]) -> Guess:
    """A column named like an id of which every row has a value of its own."""
    for one in columns.values():
        if one.name not in used and _is_id(one) and one.is_unique:
            return Guess(one.name, "its name, and no value comes twice in what was looked at")
    return Guess(None, "")


def guess_time(columns: Mapping[str, Column], used: Sequence[str | None]) -> Guess:
    """A column named like a time whose values the scores table can read."""
    unread = ""
    for one in columns.values():
        if one.name in used or not _is_named_time(one.name) or not one.texts:
            continue
        if one.time_share >= LEAST_TIMES:
            return Guess(one.name, f"its name, and values as {shown(one, 30)}")
        unread = f"{one.name!r} has times as {shown(one, 30)}, but only ISO 8601 and seconds since 1970 are read"
    return Guess(None, unread)


def counts(column: Column) -> Counter[str]:
    """How often each single value occurs, blanks around it apart."""
    return Counter(text.strip() for text in column.texts)


def _is_id(column: Column) -> bool:
    return _ID_NAME.search(column.name.strip()) is not None


def _is_time_like(column: Column) -> bool:
    if _is_named_time(column.name) or (column.time_share >= 0.95 and column.number_share < 0.5):
        return True
    return _share([_DATE.fullmatch(text.strip()) is not None for text in column.texts]) >= 0.95


def _is_named_time(name: str) -> bool:
    """Whether a whole part of a name says so: `sentiment` holds the letters of time, `candidate` those of date."""
    return any(part.lower().removesuffix("at") in _TIME_NAMES for part in _NAME_PART.findall(name))


def _is_time(text: str) -> bool:
    seconds = number_of(text)
    return moment_of(text) is not None and (seconds is None or _SECONDS[0] <= seconds < _SECONDS[1])


def _share(truths: Sequence[bool]) -> float:
    return sum(truths) / len(truths) if truths else 0.0


def shown(column: Column, most: int) -> str:
    """The first value of a column in quotes, cut where it has more characters than that."""
    first = next(iter(column.texts), "").strip()
    return repr(first if len(first) <= most else f"{first[:most]}...")
