"""Lines or paragraphs that stand in several documents: the first occurrence stays, the others are removed.

As in CCNet (Wenzek et al. 2020) this comes before whole documents are compared, so that those are judged, hashed,
split and sketched by the text that is published. A part counts by the different texts that hold it. Where
these are more than `most_documents`, one occurrence in the corpus stays: the first in the document that is first by
class (`dedup.classes`, so an official test file keeps what training text repeats), then in a seeded order of contents.
A document that loses so much that it is dropped itself keeps nothing that another one has. Equal documents lose the
same parts, and stay equal. A part that one document repeats and no other holds is left alone: that is a matter of the
filters of repetition.
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
    from pyspark.sql import Column, DataFrame

DUPLICATE_PARTS = "duplicate_parts"
REMOVED = pa.schema([pa.field("parts_removed", pa.int32()), pa.field("characters_removed", pa.int64())])
_SEPARATOR = {"line": "\n", "paragraph": "\n\n"}
_LISTED = pa.schema(
    [
        ("content_hash", pa.string()),
        ("place", pa.int32()),
        ("part", pa.int64()),
        ("again", pa.bool_()),  # whether the text has it more than once
        ("characters", pa.int64()),  # of all its occurrences in the text
        ("again_characters", pa.int64()),  # of all but the first
        ("total", pa.int64()),  # of all parts of the text
    ]
)


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
        """_LISTED rows of batches of `content_hash`, `place` and `text`: one for each different part of a text."""
        for batch in batches:
            parts = parts_of(batch.column("text"), self.settings)
            keys, lengths = _keyed(parts.hashes, parts.owner), _lengths(parts)
            total = np.bincount(parts.owner, lengths, batch.num_rows).astype(np.int64)
            again = (lengths * ~_first_ones(keys))[parts.comparable]
            hashes, owner = parts.hashes[parts.comparable], parts.owner[parts.comparable]
            _, first, number, times = np.unique(
                keys[parts.comparable], return_index=True, return_inverse=True, return_counts=True
            )
            rows = owner[first]
            columns = [
                *(batch.column(name).take(pa.array(rows)) for name in ("content_hash", "place")),
                pa.array(hashes[first].view(np.int64)),
                pa.array(times > 1),
                *(
                    pa.array(np.bincount(number, values, len(first)).astype(np.int64))
                    for values in (lengths[parts.comparable], again)
                ),
                pa.array(total[rows]),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=_LISTED)


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
        lengths = _lengths(parts)
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
    is_again = np.isin(keys, _listed_keys(once)) & ~_first_ones(keys)
    return parts.comparable & (np.isin(keys, _listed_keys(gone)) | is_again)


def _first_ones(keys: Hashes) -> npt.NDArray[np.bool_]:
    """Where a key stands for the first time."""
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


def _lengths(parts: Parts) -> Offsets:
    """Characters of each part, shape (N,)."""
    return np.asarray(pc.utf8_length(parts.texts).to_numpy(zero_copy_only=False), np.int64)


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
    listed = texts.mapInArrow(PartLister(settings).__call__, from_arrow_schema(_LISTED))
    # Equal documents list the same, and count once, in the first class that one of them has.
    contents = listed.repartition(partitions, "part").groupBy("part", "content_hash")
    sizes = (F.max(name).alias(name) for name in ("again", "characters", "again_characters", "total"))
    listed = contents.agg(F.min("place").alias("place"), *sizes).persist()
    lost = _lost_parts(listed, settings, seed)
    dropped = _contents_to_drop(lost, settings).persist()
    if not dropped.isEmpty():
        lost = _lost_parts(listed, settings, seed, dropped)
    removable = lost.groupBy("content_hash").agg(
        F.collect_list(F.when(~F.col("is_keeper"), F.col("part"))).alias("gone"),
        F.collect_list(F.when(F.col("is_keeper"), F.col("part"))).alias("once"),
    )
    removable = removable.repartition(partitions, "content_hash").persist()
    removable.count()
    for frame in (listed, dropped):
        frame.unpersist()
    alive = records.where(F.col("rule").isNull()).join(removable.hint("shuffle_hash"), "content_hash", "left")
    others = records.where(F.col("rule").isNotNull())
    cleaned = alive.mapInArrow(PartRemover(settings).__call__, from_arrow_schema(pa.schema([*RECORD, *REMOVED])))
    nothing = {field.name: F.lit(0).cast("int" if field.type == pa.int32() else "bigint") for field in REMOVED}
    return cleaned.unionByName(others.withColumns(nothing)).repartition(partitions, "content_hash")


def _lost_parts(listed: DataFrame, settings: DuplicateParts, seed: int, dropped: DataFrame | None = None) -> DataFrame:
    """The parts that contents lose, as in _LISTED; where one `is_keeper` of a part, all occurrences but the first.

    Contents in `dropped` keep parts only that no other content has. That takes from no other one: what it kept another
    one keeps now, and nothing else changes. So no further content loses too much.
    """
    order: tuple[str | Column, ...] = ("place", F.xxhash64(F.lit(seed), "content_hash"), "content_hash")
    if dropped is not None:
        marked = dropped.select("content_hash", F.lit(True).alias("is_dropped"))
        listed = listed.join(marked, "content_hash", "left").fillna(False, "is_dropped")
        order = ("is_dropped", *order)
    counted = listed.groupBy("part").agg(F.count("*").alias("documents"), F.min(F.struct(*order)).alias("first"))
    repeated = counted.where(F.col("documents") > settings.most_documents).select("part", "first.content_hash")
    repeated = repeated.withColumnRenamed("content_hash", "keeper")
    told = listed.join(repeated, "part").withColumn("is_keeper", F.col("content_hash") == F.col("keeper"))
    return told.where(~F.col("is_keeper") | F.col("again"))


def _contents_to_drop(lost: DataFrame, settings: DuplicateParts) -> DataFrame:
    """The contents of which too little would be left, as `PartRemover` finds it."""
    characters = F.when(F.col("is_keeper"), F.col("again_characters")).otherwise(F.col("characters"))
    sums = lost.groupBy("content_hash").agg(F.sum(characters).alias("lost"), F.max("total").alias("total"))
    share = F.col("lost") / F.greatest("total", F.lit(1))
    return sums.where(share >= settings.maximum_share).select("content_hash")


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
