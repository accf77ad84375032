"""Kept documents to shard files: split, global shuffle, lanes, tokens.

Within a split the documents stand in the order of a seeded hash of their content: a shuffle of the
whole corpus that no partitioning can change. Document g of that order is in lane g mod L at
position g div L, so lanes differ in size by at most one, and a global batch can be told from
integers alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Window
from pyspark.sql import functions as F

from mapring import storage
from mapring.contract.schemas import SHARD
from mapring.histogram import lower_bounds
from mapring.settings import Settings
from mapring.text import Encoder
from spark_jobs.tables import Built, WrittenFile, write_groups

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

SPLITS = ("train", "validation", "test")
_MOST_WRITE_TASKS = 10_000
_BUCKETS = 4096  # of the hash order: each is ranked in one task, so a billion documents make 250,000 a task


def _seeded_hash(purpose: str, seed: int) -> Column:
    """32 hex digits from the seed and the content's identity."""
    return F.substring(F.sha2(F.concat(F.lit(f"{purpose}:{seed}:"), F.col("content_hash")), 256), 1, 32)


def _leading_bits(digest: Column, digits: int) -> Column:
    return F.conv(F.substring(digest, 1, digits), 16, 10).cast("long")


def assign_splits(documents: DataFrame, settings: Settings) -> DataFrame:
    """Add `split`, by a hash of the content: equal texts can never be on two sides."""
    shares = settings.preprocess.splits
    point = _leading_bits(_seeded_hash("split", settings.seed), 12) / float(1 << 48)
    split = (
        F.when(point < shares.test, "test")
        .when(point < shares.test + shares.validation, "validation")
        .otherwise("train")
    )
    return documents.withColumn("split", split)


def assign_positions(documents: DataFrame, settings: Settings) -> tuple[DataFrame, dict[str, int]]:
    """Add `lane` and `position`; also return the number of documents in each split.

    The global rank is the offset of a bucket of the hash order plus the rank within it, so no
    task ever sorts a whole split.
    """
    ordered = documents.withColumn("order_key", _seeded_hash("order", settings.seed))
    ordered = ordered.withColumn("bucket", _leading_bits(F.col("order_key"), 3).cast("int"))
    found = {
        (row["split"], row["bucket"]): row["count"] for row in ordered.groupBy("split", "bucket").count().collect()
    }
    offsets, sizes = _offsets(found)
    spark = documents.sparkSession
    table = spark.createDataFrame(offsets, "split string, bucket int, offset long")
    within = Window.partitionBy("split", "bucket").orderBy("order_key")
    rank = F.col("offset") + F.row_number().over(within) - 1
    lanes = settings.preprocess.lanes
    positioned = (
        ordered.join(F.broadcast(table), ["split", "bucket"])
        .withColumn("rank", rank)
        .withColumn("lane", F.pmod("rank", F.lit(lanes)))
        .withColumn("position", F.expr(f"rank div {lanes}"))
    )
    return positioned, sizes


def _offsets(found: Mapping[tuple[str, int], int]) -> tuple[list[tuple[str, int, int]], dict[str, int]]:
    offsets, sizes = [], dict.fromkeys(SPLITS, 0)
    for split, bucket in sorted(found):
        offsets.append((split, bucket, sizes[split]))
        sizes[split] += found[split, bucket]
    return offsets, sizes


def write_shards(
    positioned: DataFrame, settings: Settings, *, rows: int, labels: list[str], directory: str
) -> list[WrittenFile]:
    """Tokenize and write the documents below `data/`, one file for each (split, lane, shard)."""
    preprocess = settings.preprocess
    shard = F.expr(f"position div {preprocess.rows_per_shard}")
    files = min(
        _MOST_WRITE_TASKS, preprocess.lanes * len(SPLITS) * -(-rows // (preprocess.lanes * preprocess.rows_per_shard))
    )
    ordered = (
        positioned.withColumn("file_group", F.format_string("%s-%05d-%05d", "split", "lane", shard))
        .select("file_group", "position", "doc_id", "source_id", "source", "text", "label")
        .repartition(files, "file_group")  # a number, or Spark would merge small partitions and tokenize on one core
        .sortWithinPartitions("file_group", "position")
    )
    build = ShardBuilder(storage.join(directory, "tokenizer"), preprocess.max_length, tuple(labels))
    return write_groups(
        ordered, build, directory=directory, folder="data", rows_per_row_group=preprocess.rows_per_row_group
    )


@dataclass(frozen=True)
class ShardBuilder:
    """Documents in order to one shard's table, with counts by (source, label) and by length."""

    tokenizer: str
    max_length: int
    labels: tuple[str, ...]

    def __call__(self, table: pa.Table) -> Built:
        """Build the SHARD table; `statistics` has counts by `labels`, `lengths` and `characters`."""
        encoder = _encoder(self.tokenizer, self.max_length)
        input_ids = pa.array(encoder.encode(table.column("text").to_pylist()), SHARD.field("input_ids").type)
        label_ids = pc.index_in(table.column("label"), value_set=pa.array(self.labels, pa.string()))
        lengths = pc.list_value_length(input_ids).to_pylist()
        columns = [table.column(name) for name in ("doc_id", "source_id", "source", "text")]
        built = pa.Table.from_arrays([*columns, label_ids.cast(pa.int32()), input_ids], schema=SHARD)
        keys = list(zip(table.column("source").to_pylist(), table.column("label").to_pylist(), strict=True))
        documents: Counter[Any] = Counter(keys)
        tokens: Counter[Any] = Counter()
        characters: Counter[Any] = Counter()
        sizes = pc.utf8_length(table.column("text")).to_numpy()
        for key, length, size in zip(keys, lengths, sizes.tolist(), strict=True):
            tokens[key] += length
            characters[key] += size
        counted = [[*key, documents[key], tokens[key], characters[key]] for key in documents]
        bins = Counter(lower_bounds(sizes, shares=False).astype(int).tolist())
        return Built(
            built,
            {"labels": counted, "lengths": list(Counter(lengths).items()), "characters": list(bins.items())},
        )


@cache
def _encoder(tokenizer: str, max_length: int) -> Encoder:
    """One encoder for each Python worker."""
    return Encoder(storage.localize(tokenizer, Path.home() / ".cache" / "mapring"), max_length)


def lane_files(files: list[WrittenFile], lanes: int) -> dict[str, list[list[dict[str, Any]]]]:
    """For each split and lane the shard files in order of position, as the manifest holds them."""
    layout: dict[str, list[list[dict[str, Any]]]] = {split: [[] for _ in range(lanes)] for split in SPLITS}
    for file in files:
        split, lane, _ = file.group.split("-")
        layout[split][int(lane)].append({"path": file.entry.path, "rows": file.entry.rows})
    for split in SPLITS:
        sizes = [sum(part["rows"] for part in lane) for lane in layout[split]]
        assert all(0 <= left - right <= 1 for left, right in pairwise(sizes)), f"lanes of {split} are uneven: {sizes}"
    return layout
