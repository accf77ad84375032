"""Interactions and items read the same from every kind of table: ids as numbers, lists of tags, any language."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from mapring.settings.recommend import Interactions, Items
from spark_jobs.recommending.reading import tags_of
from tests.spark_jobs.conftest import Read

DONE = [{"who": 7, "what": 10, "when": 1_000_000_000, "stars": 4.5}, {"who": 8, "what": 11, "when": 1e9, "stars": 1}]
SOLD = [
    {"what": 10, "title": "Le Départ", "more": "Une comédie à Paris", "tags": ["Comédie", "Romance"]},
    {"what": 11, "title": "霸王别姬", "more": "京剧演员的一生", "tags": ["剧情"]},
]


def written(rows: list[dict[str, Any]], kind: str) -> bytes:
    """Rows as a format has them; lists are joined by | in a csv."""
    if kind == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if kind == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        return sink.getvalue()
    text = io.StringIO()
    plain = [{key: "|".join(value) if isinstance(value, list) else value for key, value in row.items()} for row in rows]
    writer = csv.DictWriter(text, list(rows[0]), delimiter=";")
    writer.writeheader()
    writer.writerows(plain)
    return text.getvalue().encode()


def options_of(section: Interactions | Items) -> dict[str, Any]:
    found = section.as_input.model_dump(exclude={"name", "path", "format"}, exclude_unset=True)
    return {"file_format": section.format, **found}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_ids_may_be_numbers(read: Read, kind: str) -> None:
    own = {"user_column": "who", "item_column": "what", "time_column": "when", "rating_column": "stars"}
    section = Interactions(path="p", format=kind, separator=";" if kind == "csv" else ",", **own)  # type: ignore[arg-type]
    rows = read(written(DONE, kind), **options_of(section))
    assert [(row["group"], row["source_id"], row["text"]) for row in rows] == [("7", "10", "10"), ("8", "11", "11")]
    assert [float(row["features"][0]) for row in rows] == [4.5, 1.0] and all(row["rule"] is None for row in rows)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_what_items_say_is_read_as_it_stands(read: Read, kind: str) -> None:
    own = {"id_column": "what", "text_column": "title", "description_column": "more", "tags_column": "tags"}
    section = Items(path="p", format=kind, separator=";" if kind == "csv" else ",", **own)  # type: ignore[arg-type]
    rows = read(written(SOLD, kind), **options_of(section))
    assert [(row["source_id"], row["text"]) for row in rows] == [("10", "Le Départ"), ("11", "霸王别姬")]
    assert [row["features"][0] for row in rows] == ["Une comédie à Paris", "京剧演员的一生"]
    assert [tags_of(row["features"][1], "|") for row in rows] == [["Comédie", "Romance"], ["剧情"]]


def test_tags_that_only_look_like_a_list_are_parted() -> None:
    assert tags_of("[sic]|odd", "|") == ["[sic]", "odd"]
    assert tags_of('["a", null, 7]', "|") == ["a", "7"]


def test_a_separator_needs_a_csv() -> None:
    with pytest.raises(ValidationError, match="separator: found ';' with format jsonl, which does not use it"):
        Items(path="p", format="jsonl", id_column="i", separator=";")
