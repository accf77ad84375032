"""Rows to shard files: split, global shuffle, lanes, tokens. A row is a document, or a packed sequence of pieces.

Within a split the documents stand in the order of a seeded hash of their content: a shuffle of the
whole corpus that no partitioning can change. Document g of that order is in lane g mod L at
position g div L, so lanes differ in size by at most one, and a global batch can be told from
integers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Window
from pyspark.sql import functions as F

from mapring import local_copies, storage
from mapring.contract.schemas import LABEL_FIELDS, shard_schema
from mapring.histogram import lower_bounds
from mapring.settings import Settings
from mapring.text import Encoder
from spark_jobs.labels import Labels
from spark_jobs.splits import SPLITS, SplitNumbers, by_split, leading_bits, seeded_hash
from spark_jobs.tables import Built, WrittenFile, spread_to_files, write_files

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

COLUMNS = ("doc_id", "source_id", "source", "time", "group", "text", "label")
_BUCKET_BITS = 12  # 4096 buckets of the hash order, each ranked in one task: 250,000 of a billion documents
_OFFSETS = pa.schema([("split", pa.string()), ("bucket", pa.int32()), ("offset", pa.int64())])


def assign_positions(rows: DataFrame, settings: Settings) -> tuple[DataFrame, dict[str, int]]:
    """Add `lane` and `position`; also return the number of rows in each split.

    The global rank is the offset of a bucket of the hash order plus the rank within it, so no
    task ever sorts a whole split. Only keys are moved and ranked, not the rows.
    """
    keys = rows.select("split", "content_hash", seeded_hash("order", settings.seed).alias("order_key"))
    keys = keys.withColumn("bucket", leading_bits(F.col("order_key"), _BUCKET_BITS).cast("int"))
    found = {(row["split"], row["bucket"]): row["count"] for row in keys.groupBy("split", "bucket").count().collect()}
    offsets, sizes = _offsets(found)
    table = rows.sparkSession.createDataFrame(offsets)
    # By the bucket first, since nearly all rows have one split: Spark compares whole rows where the first column ties.
    within = Window.partitionBy("bucket", "split").orderBy("order_key", "content_hash")
    rank = F.col("offset") + F.row_number().over(within) - 1
    lanes = settings.preprocess.lanes
    ranked = keys.join(F.broadcast(table), ["split", "bucket"]).withColumn("rank", rank)
    places = ranked.select(
        "content_hash", F.pmod("rank", F.lit(lanes)).alias("lane"), F.expr(f"rank div {lanes}").alias("position")
    )
    return rows.join(places.hint("shuffle_hash"), "content_hash"), sizes


def _offsets(found: Mapping[tuple[str, int], int]) -> tuple[pa.Table, dict[str, int]]:
    """The number of rows before each bucket of its split, and the rows of each split."""
    offsets, sizes = [], dict.fromkeys(SPLITS, 0)
    for split, bucket in sorted(found):
        offsets.append({"split": split, "bucket": bucket, "offset": sizes[split]})
        sizes[split] += found[split, bucket]
    return pa.Table.from_pylist(offsets, _OFFSETS), sizes


def write_shards(
    positioned: DataFrame, settings: Settings, *, sizes: Mapping[str, int], labels: list[str], directory: str
) -> list[WrittenFile]:
    """Tokenize and write the documents below `data/`, one file for each (split, lane, shard)."""
    tokenizer = None if settings.preprocess.tokenizer is None else storage.join(directory, "tokenizer")
    chosen = settings.preprocess
    build = ShardBuilder(
        tokenizer=tokenizer,
        max_length=chosen.max_length,
        names=tuple(labels),
        labels=Labels(chosen.labels, chosen.label_separator),
        has_pairs=chosen.has_pairs,
    )
    return write_lanes(positioned, build, settings, sizes=sizes, columns=COLUMNS, directory=directory)


def write_lanes(
    positioned: DataFrame,
    build: Callable[[pa.Table], Built],
    settings: Settings,
    *,
    sizes: Mapping[str, int],
    columns: Sequence[str],
    directory: str,
) -> list[WrittenFile]:
    """Write these columns of the rows below `data/`, in order of their positions in each shard.

    `sizes` are the rows of each split.
    """
    chosen = settings.preprocess
    of_lane = {split: -(-rows // (chosen.lanes * chosen.rows_per_shard)) for split, rows in sizes.items()}
    names = ShardNames(SplitNumbers({split: chosen.lanes * count for split, count in of_lane.items()}), of_lane)
    shard = F.expr(f"position div {chosen.rows_per_shard}")
    file = by_split(names.numbers.first()) + F.col("lane") * by_split(of_lane) + shard
    placed = positioned.select(file.alias("file"), "position", *columns)
    return write_files(
        spread_to_files(placed, F.col("file"), names.numbers.total(), "position"),
        build,
        name=names,
        directory=directory,
        folder="data",
        rows_per_row_group=chosen.rows_per_row_group,
    )


@dataclass(frozen=True)
class ShardNames:
    """The name of a shard by its number: split, lane, and which of the lane's shards it is.

    `numbers` has all shards of a split in a row, lane by lane, `of_lane` how many each lane has.
    """

    numbers: SplitNumbers
    of_lane: Mapping[str, int]

    def __call__(self, number: int) -> str:
        """Such as train-00003-00000."""
        split, place = self.numbers.find(number)
        lane, shard = divmod(place, self.of_lane[split])
        return f"{split}-{lane:05d}-{shard:05d}"


@dataclass(frozen=True, kw_only=True)
class ShardBuilder:
    """Documents in order to one shard's table, with counts by (source, label) and by length.

    `names` are those of all labels, sorted.
    """

    tokenizer: str | None
    max_length: int
    names: tuple[str, ...]
    labels: Labels
    has_pairs: bool

    def __call__(self, table: pa.Table) -> Built:
        """Build the shard's table; `statistics` has counts by `labels`, `lengths` and `characters`.

        Where documents have several names, `names` has the counts by each of them, and `labels` those by source.
        """
        source, label, text = (table.column(name) for name in ("source", "label", "text"))
        input_ids, second_starts = self._encode(text)
        columns = {
            **{name: table.column(name) for name in COLUMNS if name != "label"},
            LABEL_FIELDS[self.labels.kind].name: self.labels.to_shard(label, self.names),
            "input_ids": input_ids,
            "second_start": second_starts,
        }
        schema = shard_schema(self.labels.kind, has_pairs=self.has_pairs)
        built = pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
        lengths, characters = pc.list_value_length(input_ids), pc.utf8_length(text)
        counted = label if self.labels.kind == "one" else pa.nulls(len(label), pa.string())
        statistics = count_rows(source, counted, lengths, characters)
        if self.labels.kind == "several":
            statistics["names"] = _count_names(source, self.labels.split(label), lengths, characters)
        return Built(built, statistics)

    def _encode(self, texts: pa.ChunkedArray) -> tuple[pa.ListArray, pa.Int32Array | None]:
        """Token ids of each text, and of pairs where the second begins; no ids where there is no tokenizer."""
        if self.tokenizer is None:
            nothing = pa.array(np.zeros(len(texts) + 1, np.int32))
            starts = pa.repeat(pa.scalar(0, pa.int32()), len(texts)) if self.has_pairs else None
            return pa.ListArray.from_arrays(nothing, pa.array([], pa.int32())), starts
        encoder = encoder_at(self.tokenizer, self.max_length)
        return encoder.encode_pairs_arrow(texts) if self.has_pairs else (encoder.encode_arrow(texts), None)


def count_rows(
    sources: pa.ChunkedArray, labels: pa.ChunkedArray, lengths: pa.IntegerArray, characters: pa.IntegerArray
) -> dict[str, Any]:
    """Counts of documents: `labels` ([source, label, documents, tokens, characters]), `lengths` ([tokens,
    documents]) and `characters` ([lower bound of a bin, documents]).
    """
    bins = lower_bounds(characters.to_numpy(), shares=False).astype(np.int64)
    columns = {"source": sources, "label": labels, "tokens": lengths, "characters": characters, "bin": bins}
    table = pa.table(columns)
    by_label = table.group_by(["source", "label"]).aggregate(
        [([], "count_all"), ("tokens", "sum"), ("characters", "sum")]
    )
    return {
        "labels": _rows(by_label),
        "lengths": _rows(table.group_by("tokens").aggregate([([], "count_all")])),
        "characters": _rows(table.group_by("bin").aggregate([([], "count_all")])),
    }


def _count_names(
    sources: pa.ChunkedArray, names: pa.ListArray, lengths: pa.IntegerArray, characters: pa.IntegerArray
) -> list[list[Any]]:
    """[source, name, documents, tokens, characters] of documents with each of their names.

    The name is empty for those that have none, and null for those that are unlabelled.
    """
    owner = pa.concat_arrays([pc.list_parent_indices(names), pc.indices_nonzero(names.is_null()).cast(pa.int64())])
    name = pa.concat_arrays([names.flatten(), pa.nulls(names.null_count, pa.string())])
    columns = {"source": sources, "tokens": lengths, "characters": characters}
    table = pa.table({**{key: column.take(owner) for key, column in columns.items()}, "name": name})
    grouped = table.group_by(["source", "name"])
    return _rows(grouped.aggregate([([], "count_all"), ("tokens", "sum"), ("characters", "sum")]))


def _rows(table: pa.Table) -> list[list[Any]]:
    return [list(row.values()) for row in table.to_pylist()]


def count_documents(files: list[WrittenFile]) -> int:
    """How many documents the files hold; a document of several packed pieces counts once."""
    return sum(documents for file in files for _, _, documents, *_ in file.statistics["labels"])


@cache
def encoder_at(tokenizer: str, max_length: int | None) -> Encoder:
    """One encoder for each Python worker."""
    return Encoder(local_copies.localize(tokenizer, Path.home() / ".cache" / "mapring"), max_length)


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
