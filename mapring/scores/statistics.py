"""Delta's statistics of one file of scores, and what they tell of the inputs whose rows it holds.

The table is its own ledger. A file whose rows are all of one input, which is the rule for inputs that are not
small, has equal least and greatest values in the key columns, so its entry in Delta's log tells the input; of any
other file these columns are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

KEY_COLUMNS = ("source", "path", "input_identity", "model_fingerprint", "settings_fingerprint")


class ScoredInput(NamedTuple):
    """One input file and what its rows were made with; the fields stand for `KEY_COLUMNS`, in that order."""

    source: str
    path: str
    identity: str
    model: str
    settings: str

    @property
    def key(self) -> tuple[str, str]:
        """What the table has at most one scoring of."""
        return self.source, self.path


def file_statistics(table: pa.Table) -> dict[str, Any]:
    """Statistics of a file, with the field names of Delta's protocol, of the key columns and of `error`."""
    bounds = {name: pc.min_max(table.column(name)).as_py() for name in KEY_COLUMNS}
    return {
        "numRecords": table.num_rows,
        "minValues": {name: bound["min"] for name, bound in bounds.items()},
        "maxValues": {name: bound["max"] for name, bound in bounds.items()},
        "nullCount": {**dict.fromkeys(KEY_COLUMNS, 0), "error": table.column("error").null_count},
    }


def only_input(flat: Mapping[str, Any]) -> ScoredInput | None:
    """The input that all rows of a file are of, by its flattened entry in the log; None where that does not tell."""
    least = [flat.get(f"min.{name}") for name in KEY_COLUMNS]
    greatest = [flat.get(f"max.{name}") for name in KEY_COLUMNS]
    if least != greatest or None in least:
        return None
    return ScoredInput(*map(str, least))


def inputs_of(table: pa.Table) -> frozenset[ScoredInput]:
    """The inputs that the rows of a table are of."""
    distinct = table.select(list(KEY_COLUMNS)).group_by(list(KEY_COLUMNS)).aggregate([])
    return frozenset(ScoredInput(*(row[name] for name in KEY_COLUMNS)) for row in distinct.to_pylist())
