"""Scores tables of earlier versions, brought step by step to the columns that this one writes.

A table's version is told by its columns. Steps are pure functions of a schema, from version n to n + 1; all of them
add columns that may be null, which is one commit of metadata: no file is written again, and older rows have nulls.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import pyarrow as pa

from mapring.contract.schemas import CARRIED, DRAFT, RANK_SCORE, READ, answer_schema, score_schema
from mapring.scores.statistics import KEY_COLUMNS
from mapring.settings.combinations import ModeName

TABLE_VERSION = 5
NEWER = TABLE_VERSION + 1
_TELLING: Mapping[str, ModeName] = {  # a column that only this mode has, or that those before it have not
    "similarity": "answer",
    "answers": "retrieve",
    "label": "classify",
    "labels": "multilabel",
    "value": "regression",
    "embedding": "embed",
    "perplexity": "perplexity",
    "generated": "generate",
}
_SINCE_4 = (*CARRIED, *READ, RANK_SCORE)
_FIRST = frozenset({"doc_id", "source", "path", "record", "model_fingerprint", "run_id", "scored_at"})


def mode_of(columns: Collection[str]) -> ModeName | None:
    """The mode whose answers a table holds, by its columns; None where it is no table of ours."""
    found = [mode for column, mode in _TELLING.items() if column in columns]
    # Answers have a label, too, and what is similar has answers.
    is_one = len(found) == 1 or found in (["retrieve", "classify"], ["answer", "retrieve", "classify"])
    return found[0] if is_one and _FIRST.issubset(columns) else None


def version_of(columns: Collection[str]) -> int | None:
    """The version of a table with these columns; `NEWER` where some are not known here, None of no table of ours.

    1 are the first tables, whose rows do not tell what content they are of. 2 has that, and 3 the answers of all
    modes; 4 has what rows carry from their input, what the model read, and a ranker's score; 5 has drafts, in modes
    that answer from a bank, and is the same as 4 in others.
    """
    mode = mode_of(columns)
    if mode is None:
        return None
    if not set(KEY_COLUMNS).issubset(columns):
        return 1
    if not set(columns).issubset(score_schema(mode).names):
        return NEWER
    if not {field.name for field in _answers_of_4(mode)}.issubset(columns):
        return 2
    if not {field.name for field in _SINCE_4}.issubset(columns):
        return 3
    return TABLE_VERSION if set(answer_schema(mode).names).issubset(columns) else 4


def to_version_3(schema: pa.Schema) -> pa.Schema:
    """The most probable labels, who abstained, explanations."""
    mode = mode_of(schema.names)
    assert mode is not None  # or it had no version
    return _with(schema, _answers_of_4(mode))


def to_version_4(schema: pa.Schema) -> pa.Schema:
    """Time, group, features and content hash of the record, tokens and language of its text, a ranker's score."""
    return _with(schema, _SINCE_4)


def to_version_5(schema: pa.Schema) -> pa.Schema:
    """Drafts of a decoder, in modes that answer from a bank."""
    mode = mode_of(schema.names)
    assert mode is not None
    return _with(schema, answer_schema(mode))


STEPS: Mapping[int, Callable[[pa.Schema], pa.Schema]] = {2: to_version_3, 3: to_version_4, 4: to_version_5}


def migrated(schema: pa.Schema) -> pa.Schema:
    """The schema of a table of version 2 or later with the columns of this version, new ones last."""
    version = version_of(schema.names)
    for step in range(version or TABLE_VERSION, TABLE_VERSION):
        schema = STEPS[step](schema)
    return schema


def why_not(columns: Collection[str]) -> str | None:
    """Why a table with these columns cannot be brought to this version; None where it can, or is there."""
    version = version_of(columns)
    if version is None:
        return (
            "found a table with other columns than mapring's, expected one that mapring wrote; move it away, or give "
            "another run_dir"
        )
    if version == 1:
        return (
            "found a table of the first mapring, whose rows do not tell which content and settings they were made "
            "with, so `mapring migrate` cannot know what it lacks; remove it and score again"
        )
    if version == NEWER:
        unknown = ", ".join(sorted({*columns} - {*score_schema(mode_of(columns) or "classify").names}))
        return f"found a table made by a newer mapring (columns {unknown}); use that one, or give another run_dir"
    return None


def _answers_of_4(mode: ModeName) -> list[pa.Field]:
    return [field for field in answer_schema(mode) if field not in DRAFT]


def _with(schema: pa.Schema, fields: Collection[pa.Field]) -> pa.Schema:
    for field in fields:
        if field.name not in schema.names:
            assert field.nullable  # older rows have nothing there
            schema = schema.append(field)
    return schema
