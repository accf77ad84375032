"""Texts of a surge, for its alert: places from the scores table, texts by the process that knows the readers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.dataset import FileSystemDataset

from mapring.errors import in_one_line
from mapring.watch.findings import Finding

_SECONDS = 120.0  # a file that takes longer to read again gives no example
_MOST_ROWS = 100_000  # of a surge, among which the surest are sought
_COLUMNS = ("source", "path", "record", "input_identity", "doc_id")


class Examples(NamedTuple):
    """Redacted texts, and why there are fewer than were asked for."""

    texts: tuple[str, ...]
    note: str | None


Finder = Callable[[Finding, int, int], Examples]


def no_examples(_finding: Finding, _most: int, _characters: int) -> Examples:
    """Gives none."""
    return Examples((), None)


def examples_of(config: str, overrides: Sequence[str], scores: str) -> Finder:
    """A function that finds up to so many texts, of up to so many characters, of a finding's rows; it never raises."""

    def find(finding: Finding, most: int, characters: int) -> Examples:
        if finding.kind != "surge" or not most:
            return Examples((), None)
        try:
            places = find_places(scores, finding, most)
            return _read(config, overrides, finding.model_fingerprint, places, characters)
        except Exception as error:  # an alert without examples is better than none
            return Examples((), f"none could be read ({type(error).__name__}: {in_one_line(error)})")

    return find


def find_places(scores: str, finding: Finding, most: int) -> list[dict[str, Any]]:
    """Where the rows of a surge stand in the inputs: those with the highest scores, ties by `doc_id`."""
    moment = pa.timestamp("us", "UTC")
    within = (
        (pc.field("source") == finding.source)
        & (pc.field("model_fingerprint") == finding.model_fingerprint)
        & (pc.field("time") >= pa.scalar(finding.window_start, moment))
        & (pc.field("time") < pa.scalar(finding.window_end, moment))
    )
    if finding.group is not None:
        within = within & (pc.field("group") == finding.group)
    data = _rows_of(scores)
    is_single = "label" in data.schema.names
    if is_single:
        within = within & (pc.field("label") == finding.quantity)
    rows = data.scanner(columns=[*_COLUMNS, *(("score",) if is_single else ("labels",))], filter=within)
    table = rows.head(_MOST_ROWS)
    if not is_single:
        table = _with_label(table, finding.quantity)
    table = table.sort_by([("score", "descending"), ("doc_id", "ascending")])
    places = (  # a text about several groups has a row for each
        (row["source"], row["path"], row["record"], row["input_identity"]) for row in table.to_pylist()
    )
    return [
        dict(zip(("source", "path", "record", "identity"), place, strict=True))
        for place in islice(dict.fromkeys(places), most)
    ]


def _rows_of(scores: str) -> FileSystemDataset:
    """All rows of the table's version, filtered by what stands in the files alone.

    deltalake 1.6 makes of a bound that a file's entry in the log does not have a comparison with null, which no row
    passes: its own dataset finds nothing by label, time or group, of which the entries have no bounds.
    """
    from deltalake import DeltaTable

    data = DeltaTable(scores).to_pyarrow_dataset()
    files = [data.format.make_fragment(one.path, filesystem=one.filesystem) for one in data.get_fragments()]
    return FileSystemDataset(files, data.schema, data.format)


def _with_label(table: pa.Table, label: str) -> pa.Table:
    """Rows that have a label among several, with its score."""
    found = [
        next((float(one["score"]) for one in labels or () if one["label"] == label), None)
        for labels in table.column("labels").to_pylist()
    ]
    return table.append_column("score", pa.array(found, pa.float64())).filter(
        pa.array([one is not None for one in found])
    )


def _read(
    config: str, overrides: Sequence[str], model: str, places: Sequence[dict[str, Any]], characters: int
) -> Examples:
    words = (sys.executable, "-m", "spark_jobs.examples", "--config", config, "--model", model, *overrides)
    lines = "".join(f"{json.dumps(place)}\n" for place in places)
    done = subprocess.run(words, input=lines, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        return Examples(
            (), f"none could be read ({done.stderr.strip().splitlines()[-1][:300] if done.stderr else done.returncode})"
        )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    texts = tuple(_cut(one["text"], characters) for one in found if "text" in one)
    reasons = sorted({one["reason"] for one in found if "reason" in one})
    return Examples(texts, "; ".join(reasons) or None)


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[:characters]}..."
