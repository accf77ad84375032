"""What was seen of a file, in a few lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipelines.initializing.choosing import Chosen
from pipelines.initializing.columns import Column
from pipelines.initializing.language import Language
from pipelines.initializing.looking import Look
from pipelines.initializing.sizes import MOST_COUNTED, percentile

_SHOWN_LABELS = 8
_LEAST_PROSE = 0.1  # share of texts of three words or more
_FEW_ROWS = 10  # of a label, below which hardly one of them is tested on


@dataclass(frozen=True)
class Seen:
    """Language and lengths of texts in tokens, and whether these were counted or told from characters."""

    language: Language
    lengths: tuple[int, ...]
    is_counted: bool


def told(look: Look, columns: Mapping[str, Column], chosen: Chosen, seen: Seen) -> str:
    """Lines about rows, columns, labels, lengths, language, and what looks wrong."""
    rows = f"{'' if look.is_whole or look.format == 'parquet' else 'about '}{look.rows:,} rows"
    lines = [f"{look.path}: {look.written}, {rows}; looked at {look.places}"]
    lines += [f"  {name:9} {value}" for name, value in _facts(columns, chosen, seen)]
    for place, problem in enumerate(problems(look, columns, chosen)):
        lines.append(f"  {'wrong?' if place == 0 else '':9} {problem}")
    return "".join(f"{line}\n" for line in lines)


def _facts(columns: Mapping[str, Column], chosen: Chosen, seen: Seen) -> Iterator[tuple[str, str]]:
    named = {
        "text": chosen.text,
        "second text": chosen.second_text,
        "label": chosen.label.name,
        "id": chosen.id.name,
        "time": chosen.time.name,
    }
    parts = [f"{name!r} is the {use}" for use, name in named.items() if name is not None]
    unused = [repr(name) for name in columns if name not in named.values()]
    yield "columns", ", ".join(parts) + (f"; not used: {', '.join(unused)}" if unused else "")
    if chosen.task is not None and chosen.task.counts:
        counts = sorted(chosen.task.counts.items(), key=lambda item: (-item[1], item[0]))
        shown = ", ".join(f"{name[:30]} {count:,}" for name, count in counts[:_SHOWN_LABELS])
        more = f", and {len(counts) - _SHOWN_LABELS} more" if len(counts) > _SHOWN_LABELS else ""
        yield "labels", f"{len(counts)}: {shown}{more}"
    elif chosen.task is not None and chosen.label.name is not None:
        numbers = sorted(float(text) for text in columns[chosen.label.name].texts if Column("", [text]).number_share)
        yield "numbers", f"from {numbers[0]:g} to {numbers[-1]:g}, median {numbers[len(numbers) // 2]:g}"
    many, longest = percentile(seen.lengths, 0.99), max(seen.lengths)
    yield (
        "lengths",
        f"median {percentile(seen.lengths, 0.5)}, 99 % at most {many}, longest {longest}"
        f"{' or more' if longest >= MOST_COUNTED else ''} tokens{'' if seen.is_counted else ' (by their characters)'}",
    )
    language = seen.language
    spoken = (
        "no text has letters"
        if language.code is None
        else f"{language.code} ({language.share:.0%} of {language.texts} texts)"
    )
    yield "language", spoken


def problems(look: Look, columns: Mapping[str, Column], chosen: Chosen) -> list[str]:
    """What looks wrong in the rows that were looked at, each with what will become of it."""
    found = []
    rows = look.seen
    if look.bad:
        found.append(f"{_rows(look.bad)} {look.bad_why}: they are set aside; more than 5 % of them stop the run")
    text = columns[chosen.text]
    if text.prose_share < _LEAST_PROSE:
        found.append(f"most texts are a word or two, as {text.texts[0].strip()[:40]!r}: is {text.name!r} the text?")
    unread = look.no_text.get(chosen.text, frozenset())
    if unread:
        found.append(
            f"{_rows(len(unread))} without the key {chosen.text!r}, or with something else than text in it: they are "
            "set aside; more than 5 % of them stop the run"
        )
    blank = (
        place for place, value in enumerate(text.values) if isinstance(value, str | None) and not (value or "").strip()
    )
    empty = sum(place not in unread for place in blank)
    if empty:
        found.append(f"{_rows(empty)} ({empty / rows:.1%}) without text: dropped")
    copies = len(text.texts) - len({" ".join(value.split()) for value in text.texts})
    if copies:
        found.append(
            f"{_rows(copies)} ({copies / rows:.1%}) with a text that was there before: one of each stays for training"
        )
    if chosen.label.name is not None and chosen.task is not None:
        found += _label_problems(columns[chosen.label.name], chosen, rows)
    if chosen.time.name is None and chosen.time.why:
        found.append(chosen.time.why)
    return found


def _rows(number: int) -> str:
    return f"{number:,} row{'' if number == 1 else 's'}"


def _label_problems(column: Column, chosen: Chosen, rows: int) -> Iterator[str]:
    assert chosen.task is not None
    without = rows - len(column.filled)
    if without:
        yield f"{_rows(without)} ({without / rows:.1%}) without label: not learned from"
    counts = chosen.task.counts
    single = sorted(name for name, count in counts.items() if count == 1)
    few = sorted(name for name, count in counts.items() if 1 < count < _FEW_ROWS)
    for names, what in ((single, "one row only"), (few, f"fewer than {_FEW_ROWS} rows")):
        if names:
            shown = ", ".join(name[:30] for name in names[:5]) + (", ..." if len(names) > 5 else "")
            verb = "labels have" if len(names) > 1 else "label has"
            yield f"{len(names)} {verb} {what} ({shown}): join or remove them, for a model can hardly learn them"
    folded: dict[str, list[str]] = {}
    for name in counts:
        folded.setdefault(name.lower(), []).append(name)
    same = [names for names in folded.values() if len(names) > 1]
    if same:
        yield f"labels differ in case only: {', '.join(sorted(same[0]))}"
    if chosen.task.task == "regression" and column.number_share < 1:
        yield f"{1 - column.number_share:.1%} of the numbers are none: these rows are set aside"
