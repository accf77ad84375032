"""A ranker as it is published: beside the model whose scores it combines, with golden rows of its own."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mapring import contract, storage
from mapring.contract import FileEntry, Manifest
from mapring.errors import PublishedError
from spark_jobs.local_copy import local_copy
from spark_jobs.published_model import read_made_for
from spark_jobs.ranking.features import Floats
from spark_jobs.ranking.trees import Trees
from spark_jobs.tables import parquet_bytes

_TOLERANCE = 1e-9  # relative; sums of the same trees in the same order


class OtherTrees(NamedTuple):
    """More trees of a ranker, the rows that they were fitted to, and some of these (G, F)."""

    trees: str
    golden: Floats
    rows: Sequence[FileEntry]


class PublishedRanker:
    """A ranker opened for a model, which gives its golden rows the scores that it was published with.

    Raises:
        PublishedError: nothing is published there, it is damaged, belongs to another model, or scores otherwise here.
    """

    def __init__(self, directory: str, model_fingerprint: str) -> None:
        manifest = read_made_for(directory, "ranker", model_fingerprint, "run `mapring ranker` for this model")
        self.directory = directory
        self.features = len(manifest.details["features"])
        self._trees = open_trees(directory, manifest, "mapring ranker")

    def scores(self, seen: Floats) -> list[float | None]:
        """The score of each row (N, F); None of rows whose text has none."""
        is_answered = ~np.isnan(seen[:, 0])
        found: list[float | None] = [None] * len(seen)
        for row, score in zip(np.flatnonzero(is_answered), self._trees(seen[is_answered]).tolist(), strict=True):
            found[row] = score
        return found


def open_trees(directory: str, manifest: Manifest, command: str, name: str | None = None) -> Trees:
    """The trees of a published ranker, whose golden rows get the scores here that they were published with.

    `name` is that of other trees, the ranker's own where it is None.

    Raises:
        PublishedError: a file is damaged, or golden rows get other scores; `command` makes the ranker anew.
    """
    local = local_copy(directory, manifest, f"the ranker was damaged: remove its directory and run `{command}` again")
    place = manifest.details if name is None else manifest.details[name]
    trees = Trees((local / place["ranker"]).read_text())
    path = local / place["golden"]
    golden = pq.read_table(path)
    seen, expected = rows_of(golden, "seen"), golden.column("rank_score").to_numpy()
    found = trees(seen) if seen.shape[1] == trees.width else np.full(len(seen), np.nan)
    difference = np.abs(found - expected)
    if not (difference <= _TOLERANCE * np.maximum(1.0, np.abs(expected))).all():
        raise PublishedError(
            f"{path}: golden rows get other scores here (largest difference {float(difference.max()):.2g}); "
            f"compare the lightgbm version with that of the ranker, or run `{command}` again"
        )
    return trees


@lru_cache(maxsize=2)
def load_ranker(directory: str, model_fingerprint: str) -> PublishedRanker:
    """The ranker of this Python worker, opened at the first call."""
    return PublishedRanker(directory, model_fingerprint)


def publish_ranker(
    directory: str,
    *,
    fingerprint: str,
    trees: str,
    golden: Floats,
    rows: Sequence[FileEntry],
    evaluation: Mapping[str, Any],
    settings: Mapping[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    details: Mapping[str, Any],
    others: Mapping[str, OtherTrees] | None = None,
) -> bool:
    """Publish trees with the rows that they were fitted to, and some of these (G, F) with their scores.

    `others` are more trees, by names under which `open_trees` finds them.
    """
    content = contract.canonical_json(evaluation)
    written = contract.write_file(directory, contract.content_name("evaluation", content, ".json"), content)
    own = _write_trees(directory, "ranker", "golden", trees, golden)
    more = {
        name: _write_trees(directory, name, f"golden-{name}", one.trees, one.golden)
        for name, one in (others or {}).items()
    }
    more_rows = {name: one.rows for name, one in (others or {}).items()}
    manifest = Manifest(
        kind="ranker",
        fingerprint=fingerprint,
        created=contract.utc_now(),
        code_version=contract.code_version(),
        settings=settings,
        inputs=tuple(inputs),
        files=(
            *rows,
            *own.values(),
            written,
            *(entry for name in more for entry in (*more_rows[name], *more[name].values())),
        ),
        details={
            **details,
            **_places(own, rows),
            **{name: _places(more[name], more_rows[name]) for name in more},
            "evaluation": evaluation,
        },
    )
    return contract.publish(directory, manifest)


def _write_trees(directory: str, stem: str, golden_stem: str, trees: str, golden: Floats) -> dict[str, FileEntry]:
    """Files of trees, and of golden rows with their scores."""
    seen = pa.array(list(golden), pa.list_(pa.float64()))
    table = pa.table({"seen": seen, "rank_score": pa.array(Trees(trees)(golden))})
    contents = {
        "ranker": (stem, ".txt", trees.encode(), None),
        "golden": (golden_stem, ".parquet", parquet_bytes(table, len(table)), len(table)),
    }
    return {
        name: contract.write_file(directory, contract.content_name(own_stem, content, suffix), content, count)
        for name, (own_stem, suffix, content, count) in contents.items()
    }


def _places(entries: Mapping[str, FileEntry], rows: Sequence[FileEntry]) -> dict[str, Any]:
    return {**{name: entry.path for name, entry in entries.items()}, "rows": [entry.path for entry in rows]}


def rows_of(table: pa.Table, name: str) -> Floats:
    """A column of lists of numbers of one length as (N, F); null is NaN."""
    values = table.column(name).combine_chunks()
    flat = np.asarray(values.flatten().to_numpy(zero_copy_only=False), np.float64)
    return flat.reshape(len(table), -1) if len(table) else np.empty((0, 0))


def lists_of(rows: Floats) -> list[list[float | None]]:
    """Rows (N, F) as lists of numbers, None for NaN: what `rows_of` reads."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in rows]


def read_rows(directory: str, entries: Sequence[FileEntry]) -> pa.Table:
    """The rows that a ranker learns from, of all its files."""
    parts = [pq.read_table(io.BytesIO(storage.read_bytes(storage.join(directory, one.path)))) for one in entries]
    return pa.concat_tables(parts)
