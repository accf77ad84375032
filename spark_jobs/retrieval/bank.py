"""A published bank of templates as a worker has it: vectors mapped into memory, and the templates they stand for.

Templates that are the same tokens share a vector. A bank is refused where it belongs to another model, where files have
another size than published, and where its golden templates do not find themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mapring.contract import Manifest
from mapring.errors import PublishedError
from mapring.settings.retrieval import Retrieval
from spark_jobs.local_copy import local_copy
from spark_jobs.published_model import read_made_for
from spark_jobs.retrieval.products import Vectors
from spark_jobs.retrieval.scope import read_similarities, threshold_that_keeps
from spark_jobs.retrieval.top_k import Integers, nearest

TEMPLATE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),  # normalized
        pa.field("label", pa.string()),
        pa.field("vector", pa.int32(), nullable=False),  # row in the block's file of vectors
    ]
)
_ROUNDING = 1e-6  # of a text's similarity with itself; whether it is a bit less than 1 hangs on the batch
FOUND_ITSELF = 1e-4  # what a template's score with itself may lack: other machines sum in another order


class Answer(NamedTuple):
    """A template that is near to a text; `score` is the cosine similarity."""

    id: str
    score: float
    label: str | None


class Bank:
    """A bank opened for a model.

    Args:
        directory: where it is published.
        model: the manifest of the model that embeds the texts.
        threads: what searching may use.

    Raises:
        PublishedError: nothing is published there, it is damaged, or belongs to another model.
        StageError: it has an index, whose library is not installed.
    """

    def __init__(self, directory: str, model: Manifest, threads: int) -> None:
        self.directory, self._threads = directory, threads
        manifest = read_made_for(directory, "bank", model.fingerprint, "score again")
        details = manifest.details
        local = local_copy(directory, manifest, "the bank was damaged: remove its directory and score again")
        self.blocks: list[Vectors] = [np.load(local / path, mmap_mode="r") for path in details["vectors"]]
        tables = [pq.read_table(local / path, columns=["id", "label", "vector"]) for path in details["templates"]]
        templates = pa.concat_tables(tables)
        self._ids = templates.column("id").combine_chunks()
        self._labels = templates.column("label").combine_chunks()
        self._starts = _starts(tables, [len(block) for block in self.blocks])
        self.order = order_of(self._ids.take(pa.array(self._starts[:-1])))
        self.golden = pq.read_table(local / details["golden"])
        self._tables = [local / path for path in details["templates"]]
        scope = details.get("scope")
        self._similarities = None if scope is None else read_similarities(str(local / scope))
        self._index = None
        if details["index"] is not None:
            from spark_jobs.retrieval.index import open_index

            self._index = open_index(local / details["index"]["path"], details["index"]["probes"], threads)

    def answers(self, vectors: Vectors, count: int) -> list[list[Answer]]:
        """The `count` nearest templates of each vector (Q, H), best first; of equal ones by id."""
        if self._index is None:
            found = nearest(vectors, self.blocks, count, self.order, threads=self._threads)
        else:
            found = self._index.nearest(vectors, self.blocks, count, self.order)
        return [self._answers_of(*row, count) for row in zip(found.places, found.scores.tolist(), strict=True)]

    def texts_of(self, ids: Sequence[str]) -> list[str]:
        """The normalized texts of templates of the bank, by their ids."""
        if not ids:
            return []
        places = pc.index_in(pa.array(ids, pa.string()), value_set=self._ids)
        found: list[str] = self._texts.take(places).to_pylist()
        return found

    @cached_property
    def _texts(self) -> pa.ChunkedArray:
        """Of all templates, in the order of `_ids`; read where a draft asks for them."""
        return pa.concat_tables([pq.read_table(path, columns=["text"]) for path in self._tables]).column("text")

    def threshold(self, retrieval: Retrieval) -> float:
        """The similarity below which an answer is withheld.

        Raises:
            PublishedError: it is to keep a share of validation texts, and the bank has none.
        """
        if retrieval.keep_in_scope is None:
            return retrieval.abstain_below
        if self._similarities is None:
            raise PublishedError(f"{self.directory}: found no validation texts to choose a threshold by; score again")
        return threshold_that_keeps(retrieval.keep_in_scope, self._similarities)

    def check(self, vectors: Vectors) -> None:
        """Refuse vectors (G, H) of the golden templates that are not those of the bank.

        Raises:
            PublishedError: a template does not find itself.
        """
        width = self.blocks[0].shape[1]
        if vectors.shape[1] != width:
            raise PublishedError(
                f"{self.directory}: found vectors of {vectors.shape[1]} numbers here, expected {width} as in the bank: "
                "torch and a graph see other blocks in this model; set score.backend to torch, or remove the bank's "
                "directory and score again"
            )
        for template, [best] in zip(self.golden.column("id").to_pylist(), self.answers(vectors, 1), strict=True):
            if best.score < 1 - FOUND_ITSELF:
                raise PublishedError(
                    f"{self.directory}: its template {template!r} finds {best.id!r} with a similarity of "
                    f"{best.score:.6f} here, expected itself with 1; compare the torch and transformers versions with "
                    "those that embedded the bank, or remove its directory and score again"
                )
        expected = np.array(self.golden.column("embedding").to_pylist(), np.float32)
        difference = float(np.abs(vectors - expected).max(initial=0))
        if difference > FOUND_ITSELF:
            raise PublishedError(
                f"{self.directory}: golden templates give other embeddings here (largest difference {difference:.2g}, "
                f"allowed {FOUND_ITSELF:.0e}); compare the torch and transformers versions with those that embedded "
                "the bank, or remove its directory and score again"
            )

    def _answers_of(self, places: Integers, scores: list[float], count: int) -> list[Answer]:
        """Templates of vectors, the best vector first; of each only the first `count` can be among them."""
        found = []
        for place, score in zip(places.tolist(), scores, strict=True):
            if place < 0:  # the cells of an index held fewer
                break
            known = 1.0 if score > 1 - _ROUNDING else score
            first = int(self._starts[place])
            for row in range(first, min(first + count, int(self._starts[place + 1]))):
                found.append(Answer(self._ids[row].as_py(), known, self._labels[row].as_py()))
        return sorted(found, key=lambda answer: (-answer.score, answer.id))[:count]


def order_of(first_ids: pa.StringArray) -> Integers:
    """The rank of each vector among all, by the first id of its templates, (N,)."""
    order = np.empty(len(first_ids), np.int64)
    order[pc.sort_indices(first_ids).to_numpy()] = np.arange(len(first_ids))
    return order


def _starts(tables: list[pa.Table], vectors: list[int]) -> Integers:
    """Where the templates of each vector begin among all templates, and where the last ones end, (N + 1,)."""
    counts = [
        np.bincount(table.column("vector").to_numpy(), minlength=count)
        for table, count in zip(tables, vectors, strict=True)
    ]
    return np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
