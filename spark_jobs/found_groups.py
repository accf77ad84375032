"""The groups that texts name, found in the pass that reads; and rows for them: one for each, or one without a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as F

from mapring.named_groups import NamedGroups
from mapring.settings.normalization import Normalization
from mapring.text import normalize
from spark_jobs.carried import SCORED_RECORD

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

GROUPED_RECORD = SCORED_RECORD.append(pa.field("groups", pa.list_(pa.string())))


def groups_finder(
    names: Mapping[str, Sequence[str]], normalization: Normalization
) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """What adds to rows of SCORED_RECORD the groups that their texts name, in a column; it runs inside tasks.

    Args:
        names: of each group; they are normalized as the texts are, but for personal data.
        normalization: of the texts.
    """
    unredacted = normalization.model_copy(update={"redact": ()})
    groups = NamedGroups({group: _normalized(own, unredacted) for group, own in names.items()})

    def add(batch: pa.RecordBatch) -> pa.RecordBatch:
        found = [groups.in_text(text or "") for text in batch.column("text").to_pylist()]
        return batch.append_column(GROUPED_RECORD.field("groups"), pa.array(found, pa.list_(pa.string())))

    return add


def count_of_rows() -> Column:
    """How many rows a record of GROUPED_RECORD becomes."""
    return F.greatest(F.size("groups"), F.lit(1))


def rows_of_groups(records: DataFrame) -> DataFrame:
    """Rows of SCORED_RECORD of those of GROUPED_RECORD; rows of one record differ in their `group` alone."""
    others = [name for name in SCORED_RECORD.names if name != "group"]
    return records.select(*others, F.explode_outer("groups").alias("group")).select(*SCORED_RECORD.names)


def _normalized(names: Sequence[str], normalization: Normalization) -> list[str]:
    return [name for name in normalize(pa.array(names, pa.string()), normalization).to_pylist() if name]
