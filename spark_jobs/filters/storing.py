"""The measures of every judged document, written once, so that other thresholds can be tried without any text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from mapring.contract.schemas import MEASURED
from mapring.errors import StageError
from mapring.filter_rules import RULE_NAMES, measures_of, rules_of
from mapring.settings.filters import Filters
from spark_jobs.records import UNJUDGED_RULES
from spark_jobs.tables import Built, WrittenFile, spread_to_files, write_files

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_ROWS_PER_FILE = 500_000
_ROWS_PER_ROW_GROUP = 16_384  # small enough to find one document by its id in a fraction of a file


def write_measures(
    records: DataFrame, by_rule: Mapping[str | None, int], settings: Filters, directory: str
) -> list[WrittenFile]:
    """Write the measures below `measures/`, ordered by document id; nothing where no filter is on.

    Args:
        records: RECORD rows.
        by_rule: how many records each rule dropped, and how many none did.
        settings: of the filters that judged them.
        directory: of the shards.

    Raises:
        StageError: what was written is not what was judged.
    """
    names = measures_of(rules_of(settings))
    if not names:
        return []
    judged = sum(count for rule, count in by_rule.items() if rule not in UNJUDGED_RULES)
    files = max(1, -(-judged // _ROWS_PER_FILE))
    place = F.conv(F.substring("doc_id", 1, 8), 16, 10).cast("long")
    part = F.shiftright(place * files, 32)  # ranges of ids: files, too, are in their order
    measured = (
        records.where(F.col("measures").isNotNull())
        .withColumn("rule", F.when(F.col("rule").isin(*RULE_NAMES), F.col("rule")))  # later rules are no filters
        .select(*MEASURED.names, "measures")
    )
    written = write_files(
        spread_to_files(measured, part, files, "doc_id"),
        _Columns(names),
        name="measures-{:05d}".format,
        directory=directory,
        folder="measures",
        rows_per_row_group=_ROWS_PER_ROW_GROUP,
    )
    found = sum(file.entry.rows or 0 for file in written)
    if found != judged:
        raise StageError(
            f"preprocess: {judged} documents were judged, but the measures of {found} were written; nothing was "
            "published. Did an input change while it was read? Run the stage again"
        )
    return written


def describe_measures(written: Sequence[WrittenFile], settings: Filters) -> dict[str, Any] | None:
    """What the manifest says of the measures: `judged`, the number of documents, and the `names`."""
    if not written:
        return None
    return {"judged": sum(file.entry.rows or 0 for file in written), "names": list(measures_of(rules_of(settings)))}


@dataclass(frozen=True)
class _Columns:
    """Turns lists of measures into one column for each; runs inside tasks."""

    names: Sequence[str]

    def __call__(self, table: pa.Table) -> Built:
        """MEASURED columns, and a float32 column of each name."""
        lists = table.column("measures").combine_chunks()
        columns = [pc.list_element(lists, position).cast(pa.float32()) for position in range(len(self.names))]
        fields = [*MEASURED, *(pa.field(name, pa.float32(), nullable=False) for name in self.names)]
        fixed = table.select(MEASURED.names).columns
        return Built(pa.Table.from_arrays([*fixed, *columns], schema=pa.schema(fields)), {})
