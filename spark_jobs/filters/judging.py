"""The verdict of the filters on a batch of records, in the columns that records have."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapring.filter_rules import judge, measures_of, rules_of, written
from mapring.settings.filters import Filters
from mapring.settings.normalization import UnicodeForm
from spark_jobs.filters.measuring import measure


class Verdict(NamedTuple):
    """For each record the rule that drops it, what it saw and its bound; and what was measured."""

    rule: pa.StringArray
    measured: pa.StringArray
    threshold: pa.StringArray
    languages: pa.StringArray
    measures: pa.ListArray


def apply_filters(
    texts: pa.StringArray, rule: pa.StringArray, settings: Filters | None, unicode_form: UnicodeForm = "NFC"
) -> Verdict:
    """Measure and judge the texts, in this Unicode form, that no rule has dropped yet; the others stay as they are."""
    rules = rules_of(settings) if settings is not None else ()
    nothing = pa.nulls(len(texts), pa.string())
    if settings is None or not rules:
        return Verdict(rule, nothing, nothing, nothing, pa.nulls(len(texts), pa.list_(pa.float32())))
    alive = pc.is_null(rule)
    names = measures_of(rules)
    found = measure(texts.filter(alive), names, blocklist=settings.blocklist, unicode_form=unicode_form)
    count = pc.sum(alive).as_py() or 0
    position, seen = judge(found.values, found.languages, rules, settings, count)
    dropped = pa.array(position < 0)
    columns = {
        "rule": [rules[index].name for index in position],
        "measured": [written(seen[rules[index].measure][row]) for row, index in enumerate(position)],
        "threshold": [written(rules[index].threshold) for index in position],
    }
    texts_of = {
        name: pc.replace_with_mask(
            rule if name == "rule" else nothing, alive, pa.array(values, pa.string(), mask=dropped.to_numpy(False))
        )
        for name, values in columns.items()
    }
    rows = np.stack([found.values[name] for name in names], axis=1)  # (count, measures)
    return Verdict(
        **texts_of,
        languages=pc.replace_with_mask(nothing, alive, found.languages) if found.languages is not None else nothing,
        measures=_spread(rows, alive),
    )


def _spread(rows: np.ndarray, alive: pa.BooleanArray) -> pa.ListArray:
    """Rows of numbers for the records that are alive, null for the others."""
    mask = alive.to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(mask * rows.shape[1])]).astype(np.int32)
    values = pa.array(rows.ravel(), pa.float32())
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(~mask))
