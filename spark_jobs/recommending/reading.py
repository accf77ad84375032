"""Interactions and items, read in Spark's tasks and gathered in the driver as arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from mapring.errors import InputError
from mapring.lineage import SourceFile
from mapring.plan import Plan
from mapring.progress import say
from mapring.settings import Input
from mapring.settings.normalization import Normalization
from mapring.settings.recommend import Recommend
from mapring.text import normalize
from spark_jobs.carried import SCORED_RECORD, carry, check_unread, unread_counts
from spark_jobs.quarantine import check_quarantine
from spark_jobs.recommending.events import Events, Ints, make_events
from spark_jobs.records import FirstPass, read_records
from spark_jobs.segments import plan_segments
from spark_jobs.session import partitions, watch

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEY = "recommend"


@dataclass(frozen=True)
class Read:
    """Events of users and items by their names, both sorted, and what items say; `left_out` are rows, by why."""

    events: Events
    users: Sequence[str]
    items: Sequence[str]
    texts: Sequence[str]
    tags: Sequence[Sequence[str]]
    left_out: dict[str, int]


def read_all(spark: SparkSession, plan: Plan, settings: Recommend, stage: str) -> Read:
    """Read both, and hold them against each other.

    Raises:
        InputError: too much cannot be read, an item stands twice, or nothing is left.
    """
    items, texts, tags = _items(spark, plan, settings, stage)
    rows = _interactions(spark, plan, settings, stage)
    rating = rows.column("rating") if settings.interactions.rating_column else None
    missing = {
        "missing_user": pc.is_null(rows.column("user")),
        "missing_item": pc.is_null(rows.column("item")),
        "missing_time": pc.is_null(rows.column("time")),
        **({} if rating is None else {"missing_rating": pc.is_null(rating)}),
        "unknown_item": pc.invert(pc.is_in(rows.column("item"), pa.array(items, pa.string()))),
    }
    left_out: dict[str, int] = {}
    kept = np.ones(len(rows), bool)
    for why, mask in missing.items():
        dropped = kept & mask.to_numpy()
        left_out.update({why: int(dropped.sum())} if dropped.any() else {})
        kept &= ~dropped
    rows = rows.filter(pa.array(kept))
    if not len(rows):
        raise InputError(
            f"{plan.config}: {KEY}.interactions: found no row with user, time and an item of {KEY}.items (left out: "
            f"{_tell(left_out)}); check the columns"
        )
    users = sorted(pc.unique(rows.column("user")).to_pylist())
    events = make_events(
        _places(rows, "user", users),
        _places(rows, "item", items),
        rows.column("time").to_numpy(),
        np.full(len(rows), settings.liked_from) if rating is None else rows.column("rating").to_numpy(),
        settings.liked_from,
        len(items),
    )
    if not events.liked.any():
        raise InputError(
            f"{plan.config}: {KEY}.liked_from: found {settings.liked_from:g}, but no rating above "
            f"{events.rating.max():g}, so nothing is a like; lower it"
        )
    repeated = len(rows) - len(events.time)
    left_out.update({"repeated": repeated} if repeated else {})
    what = f"{len(events.time):,} interactions of {len(users):,} users and {len(items):,} items"
    say(stage, f"{what}, {float(events.liked.mean()):.0%} likes{f'; left out: {_tell(left_out)}' if left_out else ''}")
    return Read(events, users, items, texts, tags, left_out)


def _tell(left_out: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in left_out.items()) or "none"


def _places(rows: pa.Table, column: str, names: Sequence[str]) -> Ints:
    found = pc.index_in(rows.column(column), value_set=pa.array(names, pa.string()))
    places: Ints = found.to_numpy().astype(np.int64)
    return places


def _items(
    spark: SparkSession, plan: Plan, settings: Recommend, stage: str
) -> tuple[list[str], list[str], list[list[str]]]:
    """Names of the items, sorted, with the text and the tags of each."""
    source = settings.items.as_input
    counted = spark.sparkContext.accumulator(0)
    first_pass = _first_pass(plan, source, plan.item_sources, counted.add)
    records = read_records(spark, first_pass, partitions(spark)).persist()
    with watch(spark, stage, "read items", counted):
        by_rule = {row["rule"]: row["count"] for row in records.groupBy("rule").count().collect()}
    check_quarantine(records, by_rule, allowed_share=settings.max_quarantined_share, stage=KEY)
    rows = records.where(F.col("rule").isNull()).select("source_id", "text", "features").toArrow()
    records.unpersist()
    rows = rows.set_column(0, "source_id", _names(rows.column("source_id")))
    rows = rows.filter(pc.is_valid(rows.column("source_id"))).sort_by("source_id")
    names = rows.column("source_id").to_pylist()
    empty = sum(by_rule.values()) - len(names)
    if empty:
        say(stage, f"{empty:,} items without id or text are left out")
    twice = next((name for name, after in pairwise(names) if name == after), None)
    if twice is not None:
        raise InputError(f"{plan.config}: {KEY}.items: found the item {twice!r} twice, expected once; remove one")
    if not names:
        raise InputError(f"{plan.config}: {KEY}.items: found no item with id and text; check the columns")
    fields = [
        dict(zip(source.feature_columns, more or (), strict=True)) for more in rows.column("features").to_pylist()
    ]
    normalization = plan.settings.preprocess.normalization
    described = _normal([one.get(settings.items.description_column or "") or "" for one in fields], normalization)
    titles = rows.column("text").to_pylist()
    texts = [f"{title}. {more}" if more else title for title, more in zip(titles, described, strict=True)]
    written = [
        tags_of(one.get(settings.items.tags_column or "") or "", settings.items.tags_separator) for one in fields
    ]
    normal = iter(_normal([tag for own in written for tag in own], normalization))
    tags = [sorted({next(normal) for _ in own} - {""}) for own in written]
    return names, texts, tags


def _normal(texts: Sequence[str], normalization: Normalization) -> list[str]:
    """Texts as the items' own are: redacted, too, where that is asked for."""
    found: list[str] = normalize(pa.array(texts, pa.string()), normalization).to_pylist()
    return [text.strip() for text in found]


def _names(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids of items without blanks around them; null where nothing is left, as a csv's empty field is."""
    trimmed = pc.utf8_trim_whitespace(ids)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def tags_of(written: str, separator: str) -> list[str]:
    """The tags that a field holds: a JSON list, as jsonl and Parquet write lists, or texts with separators between."""
    if written.startswith("["):
        try:
            found = json.loads(written)
        except ValueError:
            found = None
        if isinstance(found, list):
            return [str(tag) for tag in found if tag is not None]
    return written.split(separator)


def _interactions(spark: SparkSession, plan: Plan, settings: Recommend, stage: str) -> pa.Table:
    """Columns user, item, time (seconds since 1970) and rating; null where there is none."""
    counted = spark.sparkContext.accumulator(0)
    first_pass = _first_pass(plan, settings.interactions.as_input, plan.interaction_sources, counted.add)
    records = read_records(spark, first_pass, partitions(spark), carry, SCORED_RECORD).persist()
    with watch(spark, stage, "read interactions", counted):
        counts = records.groupBy("rule").agg(F.count(F.lit(1)).alias("count"), *unread_counts()).collect()
    check_quarantine(
        records,
        {row["rule"]: row["count"] for row in counts},
        allowed_share=settings.max_quarantined_share,
        stage=KEY,
    )
    check_unread(counts, allowed_share=settings.max_quarantined_share, stage=KEY)
    rows: pa.Table = records.select(
        F.col("group").alias("user"),
        F.col("source_id").alias("item"),
        F.col("time").cast("double").alias("time"),
        F.get("features", F.lit(0)).alias("rating"),
    ).toArrow()
    records.unpersist()
    return rows.set_column(1, "item", _names(rows.column("item")))


def _first_pass(plan: Plan, source: Input, files: Sequence[SourceFile], on_rows: Callable[[int], None]) -> FirstPass:
    return FirstPass(
        segments=plan_segments([source], files, plan.settings.spark.split_bytes),
        normalization=plan.settings.preprocess.normalization,
        filters=None,
        on_rows=on_rows,
    )
