"""Which split a document is in: the one that its input's settings give it, else one that a hash gives it.

Documents of a group are never on two sides. So a hash of the group decides where there is one, else a hash of the
content; and where documents of one group have splits from several inputs, the whole group is in the first of them,
in the order test, validation, train, together with its documents that no setting gives a split.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from mapring.settings import Input, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

SPLITS = ("train", "validation", "test")
_FIRST_OF_A_GROUP = ("test", "validation", "train")


def seeded_hash(purpose: str, seed: int, key: Column | None = None) -> Column:
    """64 bits from the seed and a key, the content's identity if none is given; who needs an order breaks ties.

    xxHash64 (Collet 2012) of keys that are digests of 128 bits already; SHA-256 took a third of Spark's time here.
    """
    chosen = F.col("content_hash") if key is None else key
    return F.xxhash64(F.lit(f"{purpose}:{seed}"), chosen)


def leading_bits(digest: Column, bits: int) -> Column:
    """The first bits of a 64-bit hash as a whole number."""
    return F.shiftrightunsigned(digest, 64 - bits)


def keep_groups_together(documents: DataFrame, inputs: Sequence[Input]) -> DataFrame:
    """Give all documents of a group the split that any of them has in `given_split`; test comes first."""
    has_groups = any(source.group_column is not None for source in inputs)
    has_splits = any(source.split is not None for source in inputs)
    if not (has_groups and has_splits):
        return documents
    place = reduce(
        lambda column, item: column.when(F.col("given_split") == item[1], item[0]),
        enumerate(_FIRST_OF_A_GROUP),
        F.when(F.lit(False), -1),
    )
    grouped = documents.where(F.col("group").isNotNull() & F.col("given_split").isNotNull())
    found = grouped.groupBy("group").agg(F.min(place).alias("place"))
    names = F.element_at(F.array(*map(F.lit, _FIRST_OF_A_GROUP)), F.col("place") + 1)
    decided = found.select("group", names.alias("split_of_group")).persist()
    joined = documents.join(decided, "group", "left")
    together = joined.withColumn("given_split", F.coalesce("split_of_group", "given_split"))
    return together.select(*documents.columns)


def by_split(values: Mapping[str, int]) -> Column:
    """The value of a row's `split`."""
    return F.element_at(F.create_map(*(F.lit(item) for pair in values.items() for item in pair)), F.col("split"))


@dataclass(frozen=True)
class SplitNumbers:
    """Numbers from 0, those of a split in a row; `counts` says how many each split has."""

    counts: Mapping[str, int]

    def first(self) -> dict[str, int]:
        """The first number of each split."""
        return dict(zip(self.counts, accumulate(self.counts.values(), initial=0), strict=False))

    def total(self) -> int:
        """How many numbers there are."""
        return sum(self.counts.values())

    def find(self, number: int) -> tuple[str, int]:
        """The split that has a number, and its place among those of the split."""
        first = self.first()
        split = next(split for split in reversed(first) if first[split] <= number and self.counts[split])
        return split, number - first[split]


def assign_splits(documents: DataFrame, settings: Settings) -> DataFrame:
    """Add `split`: the given one, else by a hash of the group, or of the content where there is no group."""
    shares = settings.preprocess.splits
    key = F.coalesce(F.concat(F.lit("group:"), F.col("group")), F.col("content_hash"))
    point = leading_bits(seeded_hash("split", settings.seed, key), 48) / float(1 << 48)
    split = (
        F.when(F.col("given_split").isNotNull(), F.col("given_split"))
        .when(point < shares.test, "test")
        .when(point < shares.test + shares.validation, "validation")
        .otherwise("train")
    )
    return documents.withColumn("split", split)
