"""Kept documents to packed sequences in Spark: tokenize and pack bucket by bucket, then shuffle whole sequences.

A bucket is a part of a seeded hash order of the documents' contents, so what is packed with what depends on no
partitioning. It is small enough for one task and large enough that its last sequences waste little.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from mapring import storage
from mapring.contract.schemas import PACKED
from mapring.errors import StageError
from mapring.settings import Settings
from spark_jobs.packing.best_fit import Integers, Pieces, pack
from spark_jobs.shards import count_documents, count_rows, encoder_at, write_lanes
from spark_jobs.splits import SplitNumbers, by_split, leading_bits, seeded_hash
from spark_jobs.tables import Built, WrittenFile, spread_to_files, tables_of_files

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_BYTES_PER_TOKEN = 4  # of English; a bucket of another script has a few times as many tokens
_COUNTED = ("sources", "lengths", "characters")  # what the counts need and the shards do not hold

SEQUENCE = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),  # of the sequence: decides its place
        *PACKED,
        pa.field("sources", pa.list_(pa.string()), nullable=False),  # of each piece's document
        pa.field("lengths", pa.list_(pa.int32()), nullable=False),  # tokens of each piece's whole document
        pa.field("characters", pa.list_(pa.int32()), nullable=False),  # of each piece's whole document
    ]
)


def bucket_tokens(max_length: int) -> int:
    """Tokens of one bucket: 256 sequences, but at least 131,072 tokens and at most 4,194,304."""
    return min(max(256 * max_length, 1 << 17), 1 << 22)


def pack_documents(documents: DataFrame, settings: Settings, directory: str) -> DataFrame:
    """Documents with `split` and `content_hash` to sequences of the SEQUENCE schema.

    `directory` holds the tokenizer. Every token of every document is in exactly one sequence, exactly once.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    max_length = settings.preprocess.max_length
    size = bucket_tokens(max_length) * _BYTES_PER_TOKEN
    found = documents.groupBy("split").agg(F.sum(F.octet_length("text")).alias("bytes")).collect()
    buckets = {row["split"]: max(1, round(row["bytes"] / size)) for row in found} or {"train": 1}
    numbers = SplitNumbers(buckets)
    keyed = documents.withColumn("pack_key", seeded_hash("pack", settings.seed))
    bucket = F.pmod(leading_bits(F.col("pack_key"), 48), by_split(buckets)) + by_split(numbers.first())
    placed = keyed.select(bucket.alias("file"), "pack_key", "doc_id", "content_hash", "source", "text")
    ordered = spread_to_files(placed, F.col("file"), numbers.total(), "pack_key", "doc_id")
    pack_bucket = Packer(storage.join(directory, "tokenizer"), max_length, numbers)
    return ordered.mapInArrow(pack_bucket, from_arrow_schema(SEQUENCE))


@dataclass(frozen=True)
class Packer:
    """Tokenizes and packs the documents of each bucket; runs inside tasks."""

    tokenizer: str
    max_length: int
    buckets: SplitNumbers

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """SEQUENCE batches, one for each bucket."""
        for bucket, documents in tables_of_files(batches):
            input_ids = encoder_at(self.tokenizer, None).encode_arrow(documents.column("text"))
            split, _ = self.buckets.find(bucket)
            yield packed_batch(split, documents, input_ids, self.max_length)


def packed_batch(split: str, documents: pa.Table, input_ids: pa.ListArray, max_length: int) -> pa.RecordBatch:
    """The sequences of one bucket: documents (`doc_id`, `content_hash`, `source`, `text`) and their tokens, packed."""
    lengths = pc.list_value_length(input_ids).to_numpy().astype(np.int64)
    pieces = pack(lengths, max_length)
    bounds = _bounds(pieces.sequence)  # pieces of each sequence
    tokens_before = np.concatenate([np.zeros(1, np.int64), np.cumsum(pieces.length)])
    tokens = pc.list_flatten(input_ids).to_numpy()[_token_places(pieces, lengths)]

    def lists(values: Any, offsets: Integers = bounds) -> pa.ListArray:
        return pa.ListArray.from_arrays(pa.array(offsets).cast(pa.int32()), values)

    def of_documents(name: str) -> pa.Array:
        return documents.column(name).combine_chunks().take(pa.array(pieces.document))

    ids = _sequence_ids(of_documents("content_hash").to_pylist(), pieces.offset, bounds)
    columns: Mapping[str, Any] = {
        "split": pa.repeat(split, len(ids)),
        "content_hash": ids,
        "sequence_id": ids,
        "input_ids": lists(tokens, tokens_before[bounds]),
        "doc_ids": lists(of_documents("doc_id")),
        "starts": lists(pieces.starts().astype(np.int32)),
        "offsets": lists(pieces.offset.astype(np.int32)),
        "sources": lists(of_documents("source")),
        "lengths": lists(lengths[pieces.document].astype(np.int32)),
        "characters": lists(pc.utf8_length(of_documents("text")).cast(pa.int32())),
    }
    return pa.RecordBatch.from_arrays([columns[field.name] for field in SEQUENCE], schema=SEQUENCE)


def _bounds(sequence: Integers) -> Integers:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(sequence))]).astype(np.int64)


def _token_places(pieces: Pieces, lengths: Integers) -> Integers:
    """For each token of the sequences, in order, its place among the tokens of all documents."""
    first = (np.cumsum(lengths) - lengths)[pieces.document] + pieces.offset
    within = np.arange(int(pieces.length.sum())) - np.repeat(np.cumsum(pieces.length) - pieces.length, pieces.length)
    places: Integers = np.repeat(first, pieces.length) + within
    return places


def _sequence_ids(content_hashes: list[str], offsets: Integers, bounds: Integers) -> pa.StringArray:
    """32 hex digits from the contents and offsets of a sequence's pieces."""
    names = [f"{content}:{offset}" for content, offset in zip(content_hashes, offsets.tolist(), strict=True)]
    joined = (" ".join(names[start:stop]) for start, stop in pairwise(bounds.tolist()))
    return pa.array([hashlib.blake2b(name.encode(), digest_size=16).hexdigest() for name in joined], pa.string())


def write_sequences(
    positioned: DataFrame, settings: Settings, *, sizes: Mapping[str, int], directory: str
) -> list[WrittenFile]:
    """Write the sequences below `data/`, one file for each (split, lane, shard)."""
    columns = (*PACKED.names, *_COUNTED)
    return write_lanes(positioned, build_packed, settings, sizes=sizes, columns=columns, directory=directory)


def build_packed(table: pa.Table) -> Built:
    """The PACKED table, and the counts of the documents that begin in it and of all its tokens."""
    table = table.combine_chunks()
    first = pc.equal(pc.list_flatten(table.column("offsets")), 0)
    sources, lengths, characters = (pc.list_flatten(table.column(name)).filter(first) for name in _COUNTED)
    counted = count_rows(sources, pa.nulls(len(sources), pa.string()), lengths, characters)
    tokens = int(pc.sum(pc.list_value_length(table.column("input_ids"))).as_py() or 0)
    return Built(table.select(PACKED.names).cast(PACKED), {**counted, "packed_tokens": tokens})


def describe_packing(files: list[WrittenFile], settings: Settings) -> dict[str, dict[str, Any]]:
    """For each split: documents, sequences, tokens, capacity in tokens, and the share of it that is filled.

    Raises:
        StageError: the sequences do not hold as many tokens as their documents have.
    """
    told: dict[str, dict[str, Any]] = {}
    for file in files:
        entry = told.setdefault(file.group.split("-")[0], {"documents": 0, "sequences": 0, "tokens": 0})
        entry["documents"] += count_documents([file])
        entry["sequences"] += file.entry.rows
        entry["tokens"] += file.statistics["packed_tokens"]
        entry["expected"] = entry.get("expected", 0) + sum(tokens for _, _, _, tokens, _ in file.statistics["labels"])
    for split, entry in told.items():
        expected = entry.pop("expected")
        if entry["tokens"] != expected:
            raise StageError(
                f"{split}: packed {entry['tokens']} tokens of documents with {expected}; nothing was published. "
                "This is a defect of mapring; set preprocess.packing=none until it is mended"
            )
        entry["capacity"] = entry["sequences"] * settings.preprocess.max_length
        entry["fill_rate"] = round(entry["tokens"] / entry["capacity"], 6)
    return told
