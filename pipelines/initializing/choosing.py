"""What each column is for and what is to be learned: as asked, else guessed, else asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mapring.errors import SettingsError
from mapring.settings.combinations import TaskName
from mapring.settings.inputs import Format
from pipelines.initializing.asking import Asker
from pipelines.initializing.columns import (
    LEAST_TIMES,
    Column,
    Guess,
    guess_id,
    guess_label,
    guess_text,
    guess_time,
    shown,
)
from pipelines.initializing.task import TaskGuess, guess_task

Purpose = TaskName | Literal["preprocess"]

PURPOSES: dict[Purpose, str] = {
    "classify": "one label a text",
    "multilabel": "several labels a text",
    "regression": "a number a text",
    "embed": "texts that belong together near each other; needs pairs, --second-text COLUMN",
    "clm": "a small language model, whose scores are perplexities",
    "mlm": "a small masked language model, which scores nothing",
    "preprocess": "no model: cleaned, deduplicated, tokenized shards",
}
_WITHOUT_LABEL: tuple[Purpose, ...] = ("clm", "mlm", "preprocess")
_LABELLED: tuple[TaskName, ...] = ("classify", "multilabel", "regression")
_NONE = "(none)"
_AS_ASKED, _AS_ANSWERED = "as asked", "as answered"


@dataclass(frozen=True)
class Asked:
    """What the command line said; None is what is to be guessed."""

    text: str | None = None
    label: str | None = None
    id: str | None = None
    time: str | None = None
    second_text: str | None = None
    task: Purpose | None = None
    format: Format | None = None
    out: str | None = None


@dataclass(frozen=True)
class Chosen:
    """Columns with the reason for each, what is to be learned, and what a label column says; None without a label."""

    text: str
    text_why: str
    label: Guess
    id: Guess
    time: Guess
    second_text: str | None
    purpose: Purpose
    task: TaskGuess | None


def choose(columns: Mapping[str, Column], asked: Asked, asker: Asker) -> Chosen:
    """Choose columns and task of a file.

    Raises:
        SettingsError: a column that was asked for is not there, nothing can be learned from it, or something is left
            open and there is nobody to ask.
    """
    _refuse_unknown_columns(columns, asked, asker.prefix)
    text = _text(columns, asked, asker)
    assert text.name is not None
    _refuse_what_is_no_text(columns, text.name, asker.prefix)
    label, purpose = _label(columns, text.name, asked, asker)
    task = None
    if label.name is not None:
        try:
            task = guess_task(columns[label.name], purpose if purpose in _LABELLED else None)
        except SettingsError as error:
            raise SettingsError(f"{asker.prefix}: {error}{_other_columns(columns, (text.name, label.name))}") from None
        purpose = task.task
    assert purpose is not None
    used = [text.name, label.name, asked.second_text]
    if asked.time is not None:
        _refuse_what_is_no_time(columns[asked.time], asker.prefix)
    row_id = Guess(asked.id, _AS_ASKED) if asked.id else guess_id(columns, used)
    time = Guess(asked.time, _AS_ASKED) if asked.time else guess_time(columns, [*used, row_id.name])
    return Chosen(text.name, text.why, label, row_id, time, asked.second_text, purpose, task)


def _refuse_unknown_columns(columns: Mapping[str, Column], asked: Asked, prefix: str) -> None:
    for option in ("text", "label", "id", "time", "second_text"):
        name = getattr(asked, option)
        if name is not None and name not in columns:
            near = difflib.get_close_matches(name.lower(), {known.lower(): known for known in columns}, n=1)
            folded = {known.lower(): known for known in columns}
            hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
            raise SettingsError(
                f"{prefix}: --{option.replace('_', '-')}: found no column {name!r}, it has "
                f"{', '.join(map(repr, columns))}{hint or ': pass one of them'}"
            )


def _text(columns: Mapping[str, Column], asked: Asked, asker: Asker) -> Guess:
    if asked.text is not None and asked.text == asked.second_text:
        raise SettingsError(
            f"{asker.prefix}: --second-text: found {asked.text!r}, which is the text itself, expected the other text "
            f"of each pair{_other_columns(columns, (asked.text,))}"
        )
    if asked.text is not None:
        return Guess(asked.text, _AS_ASKED)
    if len(columns) == 1:
        return Guess(next(iter(columns)), "the only column")
    used = (asked.label, asked.id, asked.time, asked.second_text)
    left = {name: one for name, one in columns.items() if name not in used}
    guess = guess_text(left)
    if guess.name is not None:
        return guess
    if not guess.candidates:
        raise SettingsError(
            f"{asker.prefix}: found no column of texts, only numbers and times (of {', '.join(columns)}); give a file "
            "with texts"
        )
    choices = {name: shown(columns[name], 50) for name in guess.candidates}
    instead = f"pass --text COLUMN with one of {', '.join(guess.candidates)}"
    if len(guess.candidates) > 1 and asked.second_text is None:
        instead += ", and --second-text COLUMN if two of them are read together"
    return Guess(asker.choose(guess.why, "Which column is the text?", choices, instead=instead), _AS_ANSWERED)


def _refuse_what_is_no_time(column: Column, prefix: str) -> None:
    if column.texts and column.time_share < LEAST_TIMES:
        other = next((text for text in column.texts if Column("", [text]).time_share == 0), "")
        raise SettingsError(
            f"{prefix}: --time {column.name}: found {other[:40]!r}, expected ISO 8601 or seconds since 1970; write "
            "times so, or leave --time out"
        )


def _refuse_what_is_no_text(columns: Mapping[str, Column], name: str, prefix: str) -> None:
    column = columns[name]
    others = _other_columns(columns, (name,))
    if not column.texts:
        raise SettingsError(
            f"{prefix}: text column {name!r}: found no text in any of {len(column.values):,} rows; pass --text with "
            f"another column{others}"
        )
    if column.number_share > 0.5:
        raise SettingsError(
            f"{prefix}: text column {name!r}: found numbers such as {shown(column, 50)}, expected texts; pass --text "
            f"with another column{others}"
        )


def _label(columns: Mapping[str, Column], text: str, asked: Asked, asker: Asker) -> tuple[Guess, Purpose | None]:
    """The label column and the task that was asked for; there is one of them at least."""
    purpose = asked.task
    if purpose == "embed":
        if asked.second_text is None:
            raise SettingsError(
                f"{asker.prefix}: --task embed: found single texts, expected pairs that belong together; pass "
                f"--second-text COLUMN{_other_columns(columns, (text,))}"
            )
        return Guess(None, ""), "embed"
    if purpose in _WITHOUT_LABEL:
        if asked.label is not None:
            raise SettingsError(
                f"{asker.prefix}: --task {purpose}: found --label {asked.label}, which it does not read; leave one out"
            )
        return Guess(None, ""), purpose
    if asked.label is not None:
        return Guess(asked.label, _AS_ASKED), purpose
    is_pair = asked.second_text is not None and purpose is None
    others = {name: one for name, one in columns.items() if name != asked.second_text}
    guess = guess_label(others, text, is_sure=not is_pair)
    if guess.name is not None:
        return guess, purpose
    ways = "embed" if is_pair else f"{', '.join(_WITHOUT_LABEL[:-1])} or {_WITHOUT_LABEL[-1]}"
    if guess.candidates:
        choices = {name: _values(columns[name]) for name in guess.candidates} | {_NONE: "there is no label"}
        instead = f"pass --label COLUMN with one of {', '.join(guess.candidates)}, or --task {ways}"
        name = asker.choose(guess.why, "Which column is to be learned?", choices, instead=instead)
        if name != _NONE:
            return Guess(name, _AS_ANSWERED), purpose
    if is_pair:  # without a label all pairs belong together
        return Guess(None, ""), "embed"
    if not guess.candidates and purpose is not None:
        raise SettingsError(f"{asker.prefix}: --task {purpose}: {guess.why}; pass --label COLUMN")
    what: dict[str, str] = {one: PURPOSES[one] for one in _WITHOUT_LABEL}
    found = "there is no label" if guess.candidates or len(columns) == 1 else guess.why
    label = f"--label COLUMN{_other_columns(columns, (text,))}, or " if len(columns) > 1 else ""
    instead = f"pass {label}--task {ways}"
    purpose = asker.choose(found, "What is to be made of the texts?", what, instead=instead)  # type: ignore[assignment]
    return Guess(None, ""), purpose


def _other_columns(columns: Mapping[str, Column], used: tuple[str, ...]) -> str:
    names = [name for name in columns if name not in used]
    return f" (of {', '.join(names)})" if names else ""


def _values(column: Column) -> str:
    some = list(dict.fromkeys(str(value) for value in column.filled))[:4]
    return f"{column.distinct} different values, such as {', '.join(value[:20] for value in some)}"
