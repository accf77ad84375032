"""Lines or paragraphs that stand in several documents: the first occurrence stays, the others are removed.

As in CCNet (Wenzek et al. 2020) this comes before whole documents are compared, so that those are judged, hashed,
split and sketched by the text that is published. A part counts by the different texts that hold it. Where
these are more than `most_documents`, one occurrence in the corpus stays: the first in the document that is first by
class (`dedup.classes`, so an official test file keeps what training text repeats), then in a seeded order of contents.
Equal documents lose the same parts, and stay equal. A part that one document repeats and no other holds is left alone:
that is a matter of the filters of repetition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from mapring.settings.dedup import DuplicateParts
from spark_jobs.dedup.canonical import canonical
from spark_jobs.dedup.classes import class_of_new
from spark_jobs.dedup.shingles import Hashes, Offsets, hash_strings, mix, odd_numbers
from spark_jobs.records import RECORD, document_id

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

DUPLICATE_PARTS = "duplicate_parts"
REMOVED = pa.schema([pa.field("parts_removed", pa.int32()), pa.field("characters_removed", pa.int64())])
_SEPARATOR = {"line": "\n", "paragraph": "\n\n"}
_LISTED = "content_hash string, place int, part bigint, again boolean"


class Parts(NamedTuple):
    """The parts of some texts in order: N of them, `counts` (texts,) for each text."""

    texts: pa.StringArray
    counts: Offsets
    hashes: Hashes  # (N,)
    comparable: npt.NDArray[np.bool_]  # (N,): long enough, and not all punctuation

    @property
    def owner(self) -> Offsets:
        """Position of each part's text, shape (N,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


def parts_of(texts: pa.StringArray, settings: DuplicateParts) -> Parts:
    """Cut texts without nulls into parts; equal ones have equal hashes."""
    lists = pc.split_pattern(texts, _SEPARATOR[settings.unit])
    flat = lists.flatten()
    plain = canonical(flat)
    long_enough = pc.and_(pc.greater_equal(pc.utf8_length(flat), settings.minimum_characters), pc.not_equal(plain, ""))
    return Parts(
        flat,
        pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64),
        hash_strings(plain),
        long_enough.to_numpy(zero_copy_only=False),
    )


@dataclass(frozen=True)
class PartLister:
    """Lists the comparable parts of texts; runs inside tasks."""

    settings: DuplicateParts

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Of batches of `content_hash`, `place` and `text`: these two, `part`, and whether the text has it `again`."""
        for batch in batches:
            parts = parts_of(batch.column("text"), self.settings)
            hashes, owner = parts.hashes[parts.comparable], parts.owner[parts.comparable]
            _, first, times = np.unique(_keyed(hashes, owner), return_index=True, return_counts=True)
            rows = pa.array(owner[first])
            told = [batch.column(name).take(rows) for name in ("content_hash", "place")]
            columns = [*told, pa.array(hashes[first].view(np.int64)), pa.array(times > 1)]
            yield pa.RecordBatch.from_arrays(columns, names=["content_hash", "place", "part", "again"])


@dataclass(frozen=True)
class PartRemover:
    """Removes listed parts from RECORD rows; runs inside tasks."""

    settings: DuplicateParts

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """RECORD and REMOVED columns of batches with RECORD's and the lists `gone` and `once` of part hashes."""
        for batch in batches:
            yield self.remove(batch)

    def remove(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Take out every part in `gone`, and every part in `once` but its first occurrence."""
        found = pc.is_valid(batch.column("gone"))
        columns = {name: batch.column(name) for name in RECORD.names}
        removed = dict.fromkeys(REMOVED.names, np.zeros(batch.num_rows, np.int64))
        if pc.any(found).as_py():
            changed, removed = self._changed(batch.filter(found), found.to_numpy(zero_copy_only=False))
            for name, values in changed.items():
                columns[name] = pc.replace_with_mask(columns[name], found, values)
        counts = [pa.array(removed[field.name]).cast(field.type) for field in REMOVED]
        return pa.RecordBatch.from_arrays([*columns.values(), *counts], names=[*RECORD.names, *REMOVED.names])

    def _changed(
        self, batch: pa.RecordBatch, found: npt.NDArray[np.bool_]
    ) -> tuple[dict[str, pa.Array], dict[str, Offsets]]:
        """New values of the rows that lose parts, which `found` marks; and for all rows how much they lose."""
        parts = parts_of(batch.column("text"), self.settings)
        stays = ~_removable(parts, batch.column("gone"), batch.column("once"))
        lengths = pc.utf8_length(parts.texts).to_numpy().astype(np.int64)
        texts = _joined(parts, stays, _SEPARATOR[self.settings.unit])
        total, lost = (
            np.bincount(parts.owner, lengths * kept, batch.num_rows).astype(np.int64) for kept in (1, ~stays)
        )
        number = np.bincount(parts.owner, ~stays, batch.num_rows).astype(np.int64)
        share = lost / np.maximum(total, 1)
        is_dropped = share >= self.settings.maximum_share
        nothing = pa.nulls(batch.num_rows, pa.string())
        dropped = pa.array(is_dropped)
        detail = [f"{n} of {m} {self.settings.unit}s" for n, m in zip(number, parts.counts, strict=True)]
        hashes = pa.array([document_id(text) for text in texts.to_pylist()], pa.string())
        told: dict[str, Any] = {
            "rule": pa.repeat(DUPLICATE_PARTS, batch.num_rows),
            "measured": pa.array([f"{value:.6g}" for value in share], pa.string()),
            "threshold": pa.repeat(f"{self.settings.maximum_share:.6g}", batch.num_rows),
            "detail": pa.array([f"{text} stand in documents before it" for text in detail], pa.string()),
        }
        changed = {name: pc.if_else(dropped, values, batch.column(name)) for name, values in told.items()}
        changed["text"] = pc.if_else(dropped, nothing, texts)
        changed["content_hash"] = pc.if_else(dropped, batch.column("content_hash"), hashes)
        counts = {}
        for name, values in zip(REMOVED.names, (number, lost), strict=True):
            counts[name] = np.zeros(len(found), np.int64)
            counts[name][found] = values
        return changed, counts


def _removable(parts: Parts, gone: pa.ListArray, once: pa.ListArray) -> npt.NDArray[np.bool_]:
    """Which of the parts must go, by the lists of hashes of their texts."""
    keys = _keyed(parts.hashes, parts.owner)
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return parts.comparable & (np.isin(keys, _listed_keys(gone)) | (np.isin(keys, _listed_keys(once)) & ~first))


def _keyed(hashes: Hashes, owner: Offsets) -> Hashes:
    """One number for a hash and the text it belongs to."""
    return mix(hashes + owner.astype(np.uint64) * odd_numbers(1))


def _listed_keys(lists: pa.ListArray) -> Hashes:
    counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    values = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
    return _keyed(values, np.repeat(np.arange(len(lists)), counts))


def _joined(parts: Parts, stays: npt.NDArray[np.bool_], separator: str) -> pa.StringArray:
    """The texts without the parts that go; at most one empty line stands between two others."""
    counts = np.bincount(parts.owner, stays, len(parts.counts)).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), parts.texts.filter(pa.array(stays)))
    texts = pc.replace_substring_regex(pc.binary_join(lists, separator), pattern="\n{3,}", replacement="\n\n")
    return pc.utf8_trim_whitespace(texts)


def remove_duplicate_parts(records: DataFrame, settings: DuplicateParts, *, seed: int, partitions: int) -> DataFrame:
    """Remove repeated parts; documents of which too little is left get the rule `duplicate_parts`.

    Only hashes are moved while parts are counted. Texts are moved once more afterwards, to meet equal ones.

    Args:
        records: RECORD rows in `partitions` partitions by content hash.
        settings: what a part is, and from when on it is removed.
        seed: of the order that says which document keeps a part.
        partitions: of the result, by the new content hash.

    Returns:
        RECORD rows with the columns of REMOVED, not persisted.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    place = F.conv(F.hex(class_of_new(F.col("given_split"))), 16, 10).cast("int")
    texts = records.where(F.col("rule").isNull()).select("content_hash", place.alias("place"), "text")
    listed = texts.mapInArrow(PartLister(settings).__call__, _LISTED)
    # Equal documents list the same, and count once, in the first class that one of them has.
    contents = listed.repartition(partitions, "part").groupBy("part", "content_hash")
    listed = contents.agg(F.min("place").alias("place"), F.max("again").alias("again")).persist()
    order = F.struct("place", F.xxhash64(F.lit(seed), "content_hash"), "content_hash")
    counted = listed.groupBy("part").agg(F.count("*").alias("documents"), F.min(order).alias("first"))
    repeated = counted.where(F.col("documents") > settings.most_documents).select("part", "first.content_hash")
    repeated = repeated.withColumnRenamed("content_hash", "keeper")
    is_keeper = F.col("content_hash") == F.col("keeper")
    lists = listed.join(repeated, "part").where(~is_keeper | F.col("again")).groupBy("content_hash")
    removable = lists.agg(
        F.collect_list(F.when(~is_keeper, F.col("part"))).alias("gone"),
        F.collect_list(F.when(is_keeper, F.col("part"))).alias("once"),
    )
    removable = removable.repartition(partitions, "content_hash").persist()
    removable.count()
    listed.unpersist()
    alive = records.where(F.col("rule").isNull()).join(removable.hint("shuffle_hash"), "content_hash", "left")
    others = records.where(F.col("rule").isNotNull())
    cleaned = alive.mapInArrow(PartRemover(settings).__call__, from_arrow_schema(pa.schema([*RECORD, *REMOVED])))
    nothing = {field.name: F.lit(0).cast("int" if field.type == pa.int32() else "bigint") for field in REMOVED}
    return cleaned.unionByName(others.withColumns(nothing)).repartition(partitions, "content_hash")


def describe_parts(records: DataFrame, settings: DuplicateParts) -> dict[str, Any]:
    """How many records lost parts, how many of them were dropped, and how many parts and characters went."""
    lost = records.where(F.col("parts_removed") > 0)
    counted = lost.agg(
        F.count("*"),
        F.count_if(F.col("rule").isNotNull()),
        F.coalesce(F.sum("parts_removed"), F.lit(0)),
        F.coalesce(F.sum("characters_removed"), F.lit(0)),
    ).first()
    assert counted is not None
    names = ("documents", "documents_dropped", "parts", "characters")
    return {"unit": settings.unit, **dict(zip(names, counted, strict=True))}
