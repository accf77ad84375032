"""Look at a file of a new user, guess what it is and what it is for, and write a config that runs as it is."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from mapring import machine, storage
from mapring.errors import MapringError, SettingsError
from mapring.settings import Settings
from mapring.settings.load import explain
from pipelines.initializing.asking import Asker, is_terminal
from pipelines.initializing.choosing import PURPOSES, Asked, Chosen, Purpose, choose
from pipelines.initializing.columns import Column, measured
from pipelines.initializing.language import Language, identify
from pipelines.initializing.looking import FORMAT_NAMES, Look, look_at, name_of
from pipelines.initializing.sizes import MOST_COUNTED, Machine, ModelFamily, fit_sizes
from pipelines.initializing.telling import Seen, told
from pipelines.initializing.writing import PRETRAINED, Draft, closing, reasons, render
from pipelines.programs import has_java
from pipelines.stages import program

_MEASURED_TEXTS, _MEASURED_CHARACTERS = 2000, 1 << 20
_OFTEN = 0.005  # share of texts with entities or mojibake from which they are repaired
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|nbsp|#\d{2,5});")
_MOJIBAKE = re.compile("Ã[\u0080-\u00bf]|â€[™œ\u009d“”¦]|Â[\u00a0£°»«]")
_CHARACTERS_A_TOKEN = {True: 4.0, False: 1.6}  # of a vocabulary of some thousand, with and without spaces
_SPECIAL_TOKENS = 2
_ROWS_A_TOKEN = 4  # of the vocabulary of a tokenizer that is trained; a rare token learns nothing


def init(file: str, asked: Asked, *, is_interactive: bool | None = None) -> Path:
    """Write a config for a file, and print what was seen and the next command; returns the config's path.

    Raises:
        SettingsError: the file cannot be read, nothing can be learned from it as asked, something is left open and
            there is no terminal to ask on, or the config exists already.
    """
    path = Path(file)
    config = Path(asked.out or f"{name_of(path)}.yaml")
    if config.exists():
        raise SettingsError(
            f"{config}: found a file of this name, which stays as it is; pass --out with another name, or remove it"
        )
    look = look_at(path, asked.format)
    columns = measured(look.columns)
    asker = Asker(str(path), is_terminal() if is_interactive is None else is_interactive)
    try:
        chosen = choose(columns, asked, asker)
    except SettingsError as error:
        raise SettingsError(f"{error}{_also_found(look)}") from None
    draft, seen = _draft(config, path, look, columns, chosen)
    content = render(draft)
    _check(config, content)
    sys.stdout.write(told(look, columns, chosen, seen))
    sys.stdout.flush()
    try:
        with config.open("x", encoding="utf-8") as handle:
            handle.write(content)
    except OSError as error:
        raise SettingsError(f"{config}: cannot be written ({error}); pass --out with another place") from None
    sys.stdout.write(closing(draft, command=_own_name(), has_java=has_java()))
    return config


def _also_found(look: Look) -> str:
    """What may be why nothing can be chosen: rows that were not read, and values that are not looked into."""
    found = ""
    if look.bad:
        found += f". Of {look.seen + look.bad:,} rows looked at {look.bad:,} cannot be read: they {look.bad_why}"
    if look.objects:
        names = ", ".join(map(repr, look.objects))
        found += f". Objects, as in {names}, are not looked into: write their fields as keys of their own"
    return found


def _draft(config: Path, path: Path, look: Look, columns: dict[str, Column], chosen: Chosen) -> tuple[Draft, Seen]:
    read = [columns[name] for name in (chosen.text, chosen.second_text) if name is not None]
    texts = [text.strip() for column in read for text in column.texts]
    language = identify(texts)
    family = _family(language, chosen.purpose)
    lengths = _lengths(_read_together(columns, chosen), language, family)
    share = len(columns[chosen.label.name or chosen.text].filled) / look.seen
    rows = max(1, round(look.rows * share))
    is_scored = chosen.purpose not in ("mlm", "preprocess")
    here = this_machine()
    sizes = fit_sizes(
        lengths,
        rows=rows,
        scored_rows=look.rows if is_scored else 0,
        classes=len(chosen.task.counts) if chosen.task else 0,
        family=family,
        machine=here,
        has_pairs_in_lanes=chosen.purpose == "embed",
    )
    seen = Seen(language, tuple(lengths), family == "pretrained")
    values = {"name": name_of(path), "path": str(path), "format": look.format}
    values |= {"encoding": look.encoding} if look.encoding != "utf-8" else {}
    values |= {"separator": look.separator} if look.format == "csv" and look.separator != "," else {}
    if look.format != "text":
        values["text_column"] = chosen.text
    named = {
        "second_text_column": chosen.second_text,
        "label_column": chosen.label.name,
        "id_column": chosen.id.name,
        "time_column": chosen.time.name,
    }
    values |= {key: name for key, name in named.items() if name is not None}
    draft = Draft(
        config=str(config),
        seen=look.written if look.is_whole else f"{look.written}; looked at {look.places}",
        name=name_of(path),
        input=values,
        purpose=chosen.purpose,
        separator=chosen.task.separator if chosen.task else None,
        family=family,
        vocabulary=max(500, min(8000, look.rows // _ROWS_A_TOKEN)),
        has_spaces=language.has_spaces,
        unescape_html=_share(_ENTITY, texts) >= _OFTEN,
        fix_mojibake=_share(_MOJIBAKE, texts) >= _OFTEN,
        sizes=sizes,
        cores=here.cores,
        launcher=here.launcher or "horovodrun",
        why=reasons(chosen, seen, sizes, here),
    )
    return draft, seen


def asked_for(*, task: str | None, format: str | None, **columns: str | None) -> Asked:
    """What the words of a command line ask for.

    Raises:
        SettingsError: there is no such task or format.
    """
    for option, found, known in (("task", task, tuple(PURPOSES)), ("format", format, FORMAT_NAMES)):
        if found is not None and found not in known:
            raise SettingsError(f"--{option}: found {found!r}, expected one of {', '.join(known)}")
    return Asked(task=task, format=format, **columns)  # type: ignore[arg-type]


def this_machine() -> Machine:
    """What there is here to train with; nothing heavy is loaded to find out."""
    has_horovod = importlib.util.find_spec("horovod") is not None
    launcher = next((name for name in ("horovodrun", "mpirun") if has_horovod and shutil.which(program(name))), None)
    return Machine(len(os.sched_getaffinity(0)), machine.memory_limit(), launcher)  # type: ignore[arg-type]


def _family(language: Language, purpose: Purpose) -> ModelFamily:
    if purpose in ("classify", "multilabel", "regression", "embed") and language.is_english and _has_pretrained():
        return "pretrained"
    return "lstm" if purpose == "classify" else "transformer"


def _has_pretrained() -> bool:
    try:
        return storage.exists(storage.join(storage.resolve(PRETRAINED), "tokenizer.json"))
    except MapringError:
        return False


def _read_together(columns: dict[str, Column], chosen: Chosen) -> list[tuple[str, ...]]:
    """The texts of each sequence that the model reads: one, or the two of a pair, which are apart only in embed."""
    first = columns[chosen.text].values
    second = None if chosen.second_text is None else columns[chosen.second_text].values
    rows = zip(first, strict=True) if second is None else zip(first, second, strict=True)
    found = [tuple(text.strip() for text in row if isinstance(text, str)) for row in rows]
    found = [texts for texts in found if texts and all(texts)]
    if not found:
        raise SettingsError(
            f"columns {chosen.text!r} and {chosen.second_text!r}: found no row with a text in both; pass --second-text "
            "with another column"
        )
    return [(text,) for texts in found for text in texts] if chosen.purpose == "embed" else found


def _lengths(sequences: Sequence[tuple[str, ...]], language: Language, family: ModelFamily) -> list[int]:
    """Lengths of some sequences in tokens; estimated from characters where the tokenizer is yet to be trained."""
    mean = sum(len(text) for texts in sequences for text in texts) / len(sequences)
    number = max(1, min(_MEASURED_TEXTS, int(_MEASURED_CHARACTERS / max(1.0, mean))))
    some = sequences[:: max(1, len(sequences) // number)][:number]
    if family == "pretrained":
        from mapring.text import Encoder

        encoder = Encoder(storage.resolve(PRETRAINED), MOST_COUNTED)
        counted = iter(encoder.encode([text for texts in some for text in texts]))
        tokens = [[len(next(counted)) - _SPECIAL_TOKENS for _ in texts] for texts in some]
    else:
        characters = _CHARACTERS_A_TOKEN[language.has_spaces]
        tokens = [[round(len(text) / characters) for text in texts] for texts in some]
    return [min(MOST_COUNTED, sum(counts) + len(counts) - 1 + _SPECIAL_TOKENS) for counts in tokens]


def _share(pattern: re.Pattern[str], texts: Sequence[str]) -> float:
    return sum(pattern.search(text) is not None for text in texts) / max(1, len(texts))


def _check(config: Path, content: str) -> None:
    """Whatever was guessed, the config must be one that `mapring run` takes."""
    values = yaml.safe_load(content)
    try:
        Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(
            f"nothing was written, for what was guessed is no valid config ({explain(str(config), values, error)}); "
            "write it by hand, like conf/demo.yaml, and tell us"
        ) from None


def _own_name() -> str:
    """How to call us again: by name where the shell finds it, else by the path that was typed."""
    return "mapring" if shutil.which("mapring") or not sys.argv[0].endswith("mapring") else sys.argv[0]
