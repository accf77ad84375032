"""The columns of a delimited or Parquet file, read on the driver so that a wrong name is found before a start."""

from __future__ import annotations

import csv
import difflib
import re
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from mapring import compressed, storage
from mapring.errors import SettingsError
from mapring.settings.inputs import COLUMN_SETTINGS, Input

_LONGEST_NAME = 60  # characters of a column's name; what is longer is a text
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}


def split_record(line: str, file_format: str, separator: str = ",") -> list[str]:
    """Fields of one record: csv with quotes as in RFC 4180, tsv without any (the IANA form). Raises csv.Error."""
    if file_format == "tsv":
        return line.split("\t")
    return next(csv.reader([line], strict=True, delimiter=separator), [])


def column_names(uri: str, file_format: str, encoding: str, separator: str = ",") -> list[str]:
    """Column names of a csv, tsv or Parquet file; empty for an empty file.

    Raises:
        OSError, ValueError, csv.Error: the file cannot be read as what it is said to be.
    """
    if file_format == "parquet":
        with storage.open_read(uri) as handle:
            names: list[str] = pq.read_schema(handle).names
        return names
    with compressed.open_text_bytes(uri) as handle:
        lines = (line.rstrip(b"\r\n") for line in chain([handle.readline().removeprefix(b"\xef\xbb\xbf")], handle))
        line = next(filter(None, lines), b"")  # the readers pass over blank lines, too
    return split_record(line.decode(encoding), file_format, separator) if line else []


def check_columns(config: str, key: str, source: Input, uri: str) -> None:
    """Refuse a source whose file lacks a column that the settings name, or has several of that name.

    Raises:
        SettingsError: file, key, what was found and what to do.
    """
    if source.format not in ("csv", "tsv", "parquet"):
        return
    try:
        names = column_names(uri, source.format, source.encoding, source.separator)
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{config}: {key}.encoding: {uri} is not {source.encoding} ({error}); {_encoding_remedy(key, uri)}"
        ) from None
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise SettingsError(
            f"{config}: {key}.format: {uri} cannot be read as {source.format} ({error}); "
            "correct the format, or repair the file"
        ) from None
    for field in ("text_column", *COLUMN_SETTINGS):
        found = getattr(source, field)
        for wanted in found if isinstance(found, tuple) else (found,):
            if names and wanted is not None and wanted not in names:
                raise SettingsError(
                    f"{config}: {key}.{field}: {uri} has no column {wanted!r}; it has {', '.join(map(_short, names))}: "
                    f"{_remedy(key, source, wanted, names)}"
                )
            if wanted is not None and names.count(wanted) > 1:
                raise SettingsError(
                    f"{config}: {key}.{field}: {uri} has {names.count(wanted)} columns named {wanted!r}, expected one; "
                    "rename the others in the file"
                )


def _remedy(key: str, source: Input, wanted: str, names: list[str]) -> str:
    """What to do where a column is missing: another separator, the name nearest to it, or any of those there are."""
    used = "\t" if source.format == "tsv" else source.separator
    if len(names) == 1 and source.format != "parquet":
        for other, told in SEPARATORS.items():
            if other != used and wanted in [name.strip('"') for name in names[0].split(other)]:
                return f"its fields are parted by {told}: set {key}.format=csv and {key}.separator={other!r}"
    folded = {re.sub(r"\W", "", name).lower(): name for name in reversed(names)}
    near = difflib.get_close_matches(re.sub(r"\W", "", wanted).lower(), folded, n=1)
    if near:
        return f"did you mean {folded[near[0]]!r}?"
    if any(len(name) > _LONGEST_NAME for name in names):
        return "its first line is no line of column names; add one on top of the file"
    return "name one of them, or correct the file"


def _encoding_remedy(key: str, uri: str) -> str:
    with compressed.open_text_bytes(uri) as handle:
        is_utf16 = handle.read(2) in (b"\xff\xfe", b"\xfe\xff")
    if is_utf16:
        return "it is UTF-16: convert it with iconv -f UTF-16 -t UTF-8"
    return f"set {key}.encoding to cp1252 (Western Windows) or gb18030 (Chinese), or convert it with iconv -t UTF-8"


def _short(name: str) -> str:
    return repr(name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}...")
