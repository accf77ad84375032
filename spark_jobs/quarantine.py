"""Refuse an input of which too much cannot be read; a few bad records are quarantined and counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from mapring.errors import InputError
from mapring.progress import say
from spark_jobs.formats.raw import QUARANTINE_RULES, UNDECODABLE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_EXAMPLES = 3


def count_by_rule(records: DataFrame) -> dict[str | None, int]:
    """Number of records for each rule that drops them; None for those that none drops."""
    return {row["rule"]: row["count"] for row in records.groupBy("rule").count().collect()}


def check_quarantine(
    records: DataFrame, by_rule: Mapping[str | None, int], *, allowed_share: float, stage: str
) -> None:
    """Say how many records are quarantined, with the first few, and refuse more than `allowed_share`.

    Raises:
        InputError: more than the allowed share is malformed or undecodable.
    """
    total = sum(by_rule.values())
    bad = sum(by_rule.get(rule, 0) for rule in QUARANTINE_RULES)
    if not bad:
        return
    found = records.where(F.col("rule").isin(*QUARANTINE_RULES)).orderBy("source", "path", "record").limit(_EXAMPLES)
    examples = [f"{row['source']}/{row['path']}:{row['record']} {row['detail']}" for row in found.collect()]
    text = f"{bad:,} of {total:,} records ({bad / total:.1%}) are malformed or undecodable"
    if bad > allowed_share * total:
        undecodable = 2 * by_rule.get(UNDECODABLE, 0) > bad
        mostly = "set its encoding (Western Windows is cp1252)" if undecodable else "correct its format"
        raise InputError(
            f"{text}, allowed are {allowed_share:.1%} ({stage}.max_quarantined_share); the first: "
            f"{'; '.join(examples)}. Repair the input, {mostly}, or allow a larger share"
        )
    say(stage, f"quarantined {text}; the first: {'; '.join(examples)}")
