"""What a label column asks for: classes, sets of classes, or numbers; and what is wrong with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mapring.errors import SettingsError
from mapring.settings.combinations import TaskName
from pipelines.initializing.columns import Column, counts

_SEPARATORS = ("|", ";", ",")
_LEAST_JOINED = 0.05  # share of the values that hold a separator, from which they are taken for several names
_LONGEST_NAME = 40
_MOST_CLASSES_OF_NUMBERS = 10  # numbers with more different values are measured, not chosen among
_LEAST_ROWS_OF_A_NUMBER = 5
_ID_SHARE = 0.5  # different values for each row, beyond which a label names rows and not classes
_COMMA_NUMBER = re.compile(r"[-+]?\d+(?:,\d+)+(?:\.\d+)?|[-+]?\d+(?:\.\d{3})*,\d+")
_WITH_UNIT = re.compile(r"[-+]?\d+(?:[.,]\d+)?\s*[%€$£]|[€$£]\s*[-+]?\d+(?:[.,]\d+)?")
_BRACKETS = re.compile(r"\[.*\]", re.DOTALL)
_MOSTLY = 0.3  # share of the values: of grades such as 4 and 4,5 many have no comma
_LEAST_ROWS = 20  # below which shares mean nothing


@dataclass(frozen=True)
class TaskGuess:
    """A task, why, how often each label occurs (none with numbers), and what stands between labels if it is not one."""

    task: TaskName
    why: str
    counts: Mapping[str, int]
    separator: str | None = None


def guess_task(column: Column, wanted: TaskName | None = None) -> TaskGuess:
    """The task that a label column is for, or what of it a wanted task has.

    Raises:
        SettingsError: nothing can be learned from the column: it is empty, has one value only, names rows, or does not
            hold what the wanted task needs.
    """
    if not column.filled:
        raise SettingsError(f"label column {column.name!r}: found no value in it; pass --label with another column")
    if column.has_lists:
        if wanted not in (None, "multilabel"):
            raise SettingsError(f"label column {column.name!r}: found lists of labels, expected one value for {wanted}")
        names = Counter(name for value in column.filled for name in ((value,) if isinstance(value, str) else value))
        if not names:
            raise SettingsError(
                f"label column {column.name!r}: found lists without a text or number in them, expected the names of "
                "labels; write these, as of objects their names, or pass --label with another column"
            )
        free = next(one for one in (*_SEPARATORS, " | ", "¦") if not any(one in name for name in names))
        return TaskGuess("multilabel", "its values are lists", names, free)
    found = counts(column)
    if wanted != "classify":
        _refuse_what_was_written_for_programs(column, found, wanted)
    separator = None if wanted in ("classify", "regression") else joined_by(found)
    if wanted == "multilabel" or (separator is not None and wanted is None):
        return _several(column, found, separator)
    if wanted == "regression" or (wanted is None and _is_measured(column, found)):
        if wanted is None and column.names_rows:
            _refuse_ids(column, found, ", or --task regression for amounts")
        return _number(column, found)
    _refuse_what_is_no_class(column, found)
    if column.number_share == 1:
        why = f"only {len(found)} different numbers, taken for classes; --task regression takes them for amounts"
        return TaskGuess("classify", why, found)
    return TaskGuess("classify", f"{len(found)} different values", found)


def _refuse_what_was_written_for_programs(column: Column, found: Counter[str], wanted: TaskName | None) -> None:
    """Numbers with a comma and lists in brackets hold separators, but the parts between them are no labels."""
    rows = len(column.filled)
    for pattern, what, remedy in (
        (
            _COMMA_NUMBER,
            "a number with a comma",
            "write it with a point, or without one between thousands; or pass --task multilabel if it joins two labels",
        ),
        (_WITH_UNIT, "a number with a unit", "write the number alone; or pass --task classify if these are classes"),
        (_BRACKETS, "a list in brackets", "join its names by |, or write jsonl, whose lists are read as such"),
    ):
        if wanted == "multilabel" and pattern is _COMMA_NUMBER:
            continue
        if pattern is _WITH_UNIT and len(found) <= _MOST_CLASSES_OF_NUMBERS:
            continue
        some = [value for value in found if pattern.fullmatch(value)]
        if sum(found[value] for value in some) >= _MOSTLY * rows:
            raise SettingsError(
                f"label column {column.name!r}: found {some[0][:40]!r}, {what}, expected a label or a number; "
                f"{remedy}, or pass --label with another column"
            )


def joined_by(values: Mapping[str, int]) -> str | None:
    """What joins several names in one value: parts of values that recur more than whole values do; None if nothing."""
    rows = sum(values.values())
    for separator in _SEPARATORS:
        joined = {value: count for value, count in values.items() if separator in value}
        if sum(joined.values()) < max(2, _LEAST_JOINED * rows):
            continue
        parts = Counter(part.strip() for value in values for part in value.split(separator))
        if max(map(len, parts)) <= _LONGEST_NAME and len(parts) < len(values) and "" not in parts:
            return separator
    return None


def _several(column: Column, found: Counter[str], separator: str | None) -> TaskGuess:
    if separator is None:
        raise SettingsError(
            f"label column {column.name!r}: found no value that joins several names by one of {' '.join(_SEPARATORS)}; "
            "join them so, or leave --task multilabel out"
        )
    names: Counter[str] = Counter()
    for value, count in found.items():
        for name in {part.strip() for part in value.split(separator)}:
            names[name] += count
    return TaskGuess("multilabel", f"values join several names by {separator!r}", names, separator)


def _is_measured(column: Column, found: Counter[str]) -> bool:
    few = len(found) <= _MOST_CLASSES_OF_NUMBERS and len(column.filled) >= _LEAST_ROWS_OF_A_NUMBER * len(found)
    return column.number_share > 0.95 and not few


def _number(column: Column, found: Counter[str]) -> TaskGuess:
    if column.number_share <= 0.95:
        other = next(text for text in column.texts if Column("", [text]).number_share == 0)
        raise SettingsError(
            f"label column {column.name!r}: found {other[:40]!r}, expected numbers for regression; leave --task out, "
            "or pass --label with another column"
        )
    if len(found) == 1:
        raise SettingsError(
            f"label column {column.name!r}: found the number {next(iter(found))} in every row looked at, from "
            "which nothing can be learned; pass --label with another column"
        )
    return TaskGuess("regression", f"numbers, {len(found)} different ones", {})


def _refuse_what_is_no_class(column: Column, found: Counter[str]) -> None:
    rows = len(column.filled)
    if len(found) == 1:
        raise SettingsError(
            f"label column {column.name!r}: found the label {next(iter(found))[:40]!r} in all {rows:,} rows looked at, "
            "expected two or more; pass --label with another column, or add rows of another label"
        )
    if len(found) > _ID_SHARE * rows:
        _refuse_ids(column, found, "")


def _refuse_ids(column: Column, found: Counter[str], instead: str) -> None:
    rows = len(column.filled)
    if rows >= _LEAST_ROWS:
        raise SettingsError(
            f"label column {column.name!r}: found {len(found):,} different values in {rows:,} rows, which looks like "
            f"ids or texts and not like labels; pass --label with another column{instead}"
        )
