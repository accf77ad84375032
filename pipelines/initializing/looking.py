"""What is in a file: its format, and the columns of the rows that were looked at."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapring import compressed
from mapring.columns import SEPARATORS
from mapring.errors import SettingsError
from mapring.settings.inputs import Encoding, Format
from mapring.values import number_text
from pipelines.initializing.columns import Columns, Value
from pipelines.initializing.dialect import (
    Dialect,
    guess_dialect,
    guess_encoding,
    is_utf16,
    missing_header,
    read_records,
    repeated,
    unusable_names,
)
from pipelines.initializing.sample import Sample, read_parquet_sample, read_sample

FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "text",
    ".text": "text",
    ".parquet": "parquet",
}
FORMAT_NAMES: tuple[Format, ...] = ("csv", "tsv", "jsonl", "text", "parquet")
_COPYING = {".gz": "zcat", ".bz2": "bzcat", ".zst": "zstdcat"}  # what writes a compressed file as it was
_COMPRESSED = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\x28\xb5\x2f\xfd": ".zst"}


@dataclass(frozen=True)
class Look:
    """What was seen of a file.

    `rows` are those of the whole file, exact where all of it was read; `bad` are those looked at that cannot be read,
    and `bad_why` what is wrong with them. `no_text` are, by column, places of rows of a jsonl in which it is missing or
    is no text: they cannot be read where it is the text. `objects` are columns of a jsonl or Parquet file that hold
    objects, which no setting can name. A text has the one column `text`.
    """

    path: Path
    format: Format
    encoding: Encoding
    separator: str
    columns: Columns
    rows: int
    is_whole: bool
    places: str
    bad: int = 0
    bad_why: str = ""
    no_text: Mapping[str, Set[int]] = field(default_factory=dict)
    objects: tuple[str, ...] = ()

    @property
    def seen(self) -> int:
        """Number of rows that were looked at."""
        return len(next(iter(self.columns.values()), ()))

    @property
    def written(self) -> str:
        """Format, separator and encoding in words."""
        if self.format == "parquet":
            return "parquet"
        parted = f", fields parted by {SEPARATORS[self.separator]}" if self.format in ("csv", "tsv") else ""
        return f"{self.format}{parted}, {self.encoding}"


def look_at(path: Path, wanted: Format | None) -> Look:
    """Look at a file, as the format that is wanted or that its name and content say.

    Raises:
        SettingsError: it is not there, empty, or of no format that can be read; what to do is said.
    """
    _refuse_what_is_no_file(path)
    with path.open("rb") as handle:
        start = handle.read(8)
    if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise SettingsError(
            f"{path}: found an Excel or zip file, expected lines of text; save it as csv (UTF-8), or unzip it, and "
            "give that"
        )
    file_format = wanted or _format_of(path, start)
    if file_format == "parquet":
        return _look_at_parquet(path)
    _refuse_wrong_compression(path, start)
    sample = read_sample(path)
    if not any(part.strip() for part in sample.parts):
        raise SettingsError(f"{path}: found an empty file, expected rows of text")
    encoding, bad_share = _encoding(path, sample)
    texts = [part.decode(encoding, "replace") for part in sample.parts]
    if file_format in ("csv", "tsv"):
        return _look_at_delimited(path, sample, texts, encoding, bad_share, wanted)
    if file_format == "jsonl":
        return _look_at_jsonl(path, sample, texts, encoding)
    return _look_at_text(path, sample, texts, encoding, wanted)


def _refuse_what_is_no_file(path: Path) -> None:
    if path.is_dir():
        raise SettingsError(
            f"{path}: found a directory, expected one file; give one of its files, then set path in the config to a "
            f"glob such as {path}/*.csv"
        )
    if not path.exists():
        folder = path.parent
        near = sorted(one.name for one in folder.iterdir() if one.is_file())[:8] if folder.is_dir() else []
        there = f"; {folder.resolve()} has {', '.join(near)}" if near else ""
        raise SettingsError(f"{path}: found no such file{there}; check the path")


def _format_of(path: Path, start: bytes) -> Format:
    name = path.name[: -len(path.suffix)] if compressed.compression(str(path)) else path.name
    if start.startswith(b"PAR1"):
        return "parquet"
    if Path(name).suffix.lower() in (".yaml", ".yml"):
        raise SettingsError(f"{path}: found a YAML, expected a file of texts; is it a config? mapring run {path}")
    found = FORMATS.get(Path(name).suffix.lower())
    if found is None:
        raise SettingsError(
            f"{path}: found a name that ends in {Path(name).suffix or 'nothing'!r}, expected "
            f"{', '.join(FORMATS)} (also .gz, .bz2, .zst); pass --format csv (or tsv, jsonl, text, parquet)"
        )
    return found


def _refuse_wrong_compression(path: Path, start: bytes) -> None:
    named = path.suffix if compressed.compression(str(path)) else ""
    for magic, suffix in _COMPRESSED.items():
        if start.startswith(magic) and named != suffix:
            raise SettingsError(
                f"{path}: found a file compressed as {suffix}, which its name does not say; rename it: "
                f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}{suffix}')}"
            )


def _encoding(path: Path, sample: Sample) -> tuple[Encoding, float]:
    found = guess_encoding(sample.parts)
    if found is not None:
        return found
    start = sample.parts[0][:4096]
    utf16 = is_utf16(start)
    if b"\x00" in start and not utf16:
        raise SettingsError(
            f"{path}: found NUL characters, expected text; take them out: tr -d '\\0' < {shlex.quote(str(path))} > "
            f"{shlex.quote(f'text-{path.name}')}"
        )
    name = "UTF-16" if utf16 else "ENCODING"
    what = "UTF-16" if utf16 else "neither UTF-8 nor that of Western or Chinese Windows"
    raise SettingsError(
        f"{path}: found an encoding that is {what}, expected UTF-8; convert it: iconv -f {name} -t UTF-8 "
        f"{shlex.quote(str(path))} > {shlex.quote(f'utf8-{path.name}')}"
        + ("" if utf16 else " (with the encoding's name, such as CP1251, SHIFT_JIS or BIG5)")
    )


def _look_at_delimited(
    path: Path, sample: Sample, texts: Sequence[str], encoding: Encoding, bad_share: float, wanted: Format | None
) -> Look:
    dialect = Dialect("tsv", "\t") if wanted == "tsv" else guess_dialect(texts[0])
    if "\r" in texts[0].partition("\n")[0].removesuffix("\r"):
        raise SettingsError(
            f"{path}: found line ends of old Macs, expected \\n; convert it: "
            f"tr '\\r' '\\n' < {shlex.quote(str(path))} > {shlex.quote(f'unix-{path.name}')}"
        )
    if dialect is not None and dialect.separator == "|" and encoding == "gb18030":
        raise SettingsError(
            f"{path}: found fields parted by | in gb18030, where that byte also ends characters; convert it: "
            f"iconv -f GB18030 -t UTF-8 {shlex.quote(str(path))} > {shlex.quote(f'utf8-{path.name}')}"
        )
    if texts[0].startswith("sep="):
        raise SettingsError(
            f"{path}: found a first line for Excel, {texts[0].split()[0]!r}, expected column names; leave it out: "
            f"{_lines_from_second(path, '')}"
        )
    if dialect is None:
        first = texts[0].split("\n", 1)[0][:60]
        raise SettingsError(
            f"{path}: found no separator of , ; tab or | that gives each row the fields of the first line, {first!r}; "
            "quote texts that hold the separator, or pass --format text if each line is one text"
        )
    header, records, bad = read_records(texts, dialect)
    why = missing_header(header, records)
    if why is not None:
        raise SettingsError(f"{path}: found no line of column names ({why}); {_add_header(path, header, dialect)}")
    wrong = unusable_names(header)
    if wrong is not None:
        raise SettingsError(
            f"{path}: found {wrong}, expected each column to have a name of its own on the first line; "
            + (_other_header(path, header, dialect) if "twice" in wrong else "rename the column in what wrote the file")
        )
    if not records and bad:
        raise SettingsError(
            f"{path}: found {bad:,} rows, of which none can be read: a field that begins with a quote ends with one, "
            "and quotes within it are doubled; write the file with a csv library"
        )
    if not records:
        raise SettingsError(f"{path}: found column names ({', '.join(header)}) and no rows; check the file")
    columns = {name: [record[place] for record in records] for place, name in enumerate(header) if name.strip()}
    total = _rows(sample, len(records) + bad)
    not_decodable = round(bad_share * len(records))
    what = f"have other than the {len(header)} fields of the first line, or quotes within a field" if bad else ""
    what += (" or " if bad and not_decodable else "") + (f"are not {encoding}" if not_decodable else "")
    return Look(
        path,
        dialect.format,
        encoding,
        dialect.separator,
        columns,
        total,
        sample.is_whole,
        sample.places,
        bad + not_decodable,
        what,
    )


def _add_header(path: Path, header: Sequence[str], dialect: Dialect) -> str:
    program = _COPYING.get(path.suffix, "cat")
    whole = f"(printf '{_new_names(header, dialect)}\\n'; {program} {shlex.quote(str(path))}) > {_target(path)}"
    return f"add one, with names of your own: {whole}"


def _other_header(path: Path, header: Sequence[str], dialect: Dialect) -> str:
    return f"give them others: {_lines_from_second(path, _new_names(header, dialect))}"


def _new_names(header: Sequence[str], dialect: Dialect) -> str:
    return dialect.separator.join(f"column_{place}" for place in range(1, len(header) + 1)).replace("\t", "\\t")


def _lines_from_second(path: Path, header: str) -> str:
    """The command that copies a file without its first line, and with another one if that is not empty."""
    program, source = _COPYING.get(path.suffix), shlex.quote(str(path))
    rest = f"tail -n +2 {source}" if program is None else f"{program} {source} | tail -n +2"
    return (f"(printf '{header}\\n'; {rest})" if header else rest) + f" > {_target(path)}"


def _target(path: Path) -> str:
    return shlex.quote(f"named-{path.name.removesuffix(path.suffix) if path.suffix in _COPYING else path.name}")


def _look_at_jsonl(path: Path, sample: Sample, texts: Sequence[str], encoding: Encoding) -> Look:
    if texts[0].lstrip().startswith("["):
        code = f"import json; [print(json.dumps(row)) for row in json.load(open({str(path)!r}))]"
        raise SettingsError(
            f"{path}: found one JSON list, expected an object a line (jsonl); convert it: "
            f'python3 -c "{code}" > {shlex.quote(path.stem)}.jsonl'
        )
    rows: list[dict[str, Any]] = []
    bad = 0
    for line in (line for text in texts for line in text.split("\n") if line.strip()):
        try:
            value = json.loads(line)
            json.dumps(value, ensure_ascii=False).encode()  # half a character outside the BMP is no text
        except ValueError:
            value = None
        if isinstance(value, dict):
            rows.append(value)
        else:
            bad += 1
    if not rows:
        raise SettingsError(f"{path}: found no line that is a JSON object, expected an object a line; check the format")
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [_value(row.get(name)) for row in rows] for name in names}
    total, why = _rows(sample, len(rows) + bad), "are no JSON objects, or hold half characters" if bad else ""
    no_text = {
        name: {place for place, row in enumerate(rows) if not isinstance(row.get(name, 0), str | None)}
        for name in names
    }
    objects = tuple(name for name in names if any(isinstance(row.get(name), dict) for row in rows))
    return Look(
        path, "jsonl", encoding, ",", columns, total, sample.is_whole, sample.places, bad, why, no_text, objects
    )


def _look_at_text(path: Path, sample: Sample, texts: Sequence[str], encoding: Encoding, wanted: Format | None) -> Look:
    dialect = None if wanted == "text" or texts[0].startswith("\t") else guess_dialect(texts[0])
    if dialect is not None and dialect.separator == "\t":
        raise SettingsError(
            f"{path}: found lines of several fields parted by tabs, expected one text a line; pass --format tsv, or "
            "--format text if each line is one text"
        )
    lines = [line.removesuffix("\r") for text in texts for line in text.removesuffix("\n").split("\n")]
    total = _rows(sample, len(lines))
    return Look(path, "text", encoding, ",", {"text": lines}, total, sample.is_whole, sample.places)


def _look_at_parquet(path: Path) -> Look:
    sample = read_parquet_sample(path)
    twice = repeated(sample.table.column_names)
    if twice is not None:
        raise SettingsError(
            f"{path}: found the name {twice!r} twice, expected each column to have a name of its own; rename the "
            "column in what wrote the file"
        )
    if not sample.table.num_rows:
        raise SettingsError(f"{path}: found no rows; check the file")
    read = {field.name: sample.table[field.name].to_pylist() for field in sample.table.schema}
    columns = {name: [_value(value) for value in values] for name, values in read.items()}
    objects = tuple(name for name, values in read.items() if any(isinstance(value, dict) for value in values))
    return Look(path, "parquet", "utf-8", ",", columns, sample.rows, sample.is_whole, sample.places, objects=objects)


def _value(value: Any) -> Value:
    """A value as the readers write it; None also for objects, which no setting can name."""
    if isinstance(value, list):
        return tuple(text for item in value if isinstance(text := _value(item), str))
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return None if value is None or isinstance(value, dict) else str(value)


def _rows(sample: Sample, seen: int) -> int:
    return seen if sample.is_whole else round(seen * sample.total / sample.read)


def name_of(path: Path) -> str:
    """A pipeline's name from a file's: letters, digits, dots, dashes and underscores."""
    name = path.name
    while (suffix := Path(name).suffix.lower()) and (suffix in FORMATS or compressed.compression(name)):
        name = name[: -len(suffix)]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "pipeline"
