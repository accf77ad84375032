"""Rows of texts for the groups that they name: one for each, and one without a group for a text that names none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from mapring.named_groups import NamedGroups
from mapring.settings.normalization import Normalization
from mapring.text import normalize
from spark_jobs.records import RECORD


def rows_of_groups(
    names: Mapping[str, Sequence[str]], normalization: Normalization
) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """What makes rows of RECORD rows of groups; it runs inside tasks.

    Rows of one record have its `doc_id`, and differ in `group`. A record that cannot be read stays one row.

    Args:
        names: of each group; they are normalized as the texts are.
        normalization: of the texts.
    """
    groups = NamedGroups({group: _normalized(own, normalization) for group, own in names.items()})

    def expand(batch: pa.RecordBatch) -> pa.RecordBatch:
        rows: list[int] = []
        found: list[str | None] = []
        for row, text in enumerate(batch.column("text").to_pylist()):
            named: Sequence[str | None] = groups.in_text(text or "") or [None]
            rows += [row] * len(named)
            found += named
        expanded = batch.take(pa.array(rows, pa.int64()))
        place = RECORD.get_field_index("group")
        return expanded.set_column(place, RECORD.field(place), pa.array(found, pa.string()))

    return expand


def _normalized(names: Sequence[str], normalization: Normalization) -> list[str]:
    return [name for name in normalize(pa.array(names, pa.string()), normalization).to_pylist() if name]
