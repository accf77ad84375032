"""How many documents survive other filter thresholds: exact, from stored measures, without reading any text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console

from mapring import storage
from mapring.contract import Manifest, read_manifest
from mapring.contract.schemas import DROP, KEPT_IN_SHARDS, MEASURED
from mapring.errors import PublishedError, SettingsError
from mapring.filter_rules import Rule, judge, measures_of, rules_of, written
from mapring.plan import make_plan
from mapring.settings import load_settings
from mapring.settings.filters import Filters
from pipelines.tables import PlainTable


@dataclass
class Replayed:
    """Documents that other filters would drop and pass, beside what was published.

    `before` and `after` count drops by rule; `after_duplicates` estimates what removal of duplicates would leave.
    """

    judged: int = 0
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    kept_before: int = 0  # after removal of duplicates, as published
    after_duplicates: int = 0

    @property
    def passed_before(self) -> int:
        """Documents that passed the filters as published."""
        return self.judged - self.before.total()

    @property
    def passed_after(self) -> int:
        """Documents that would pass."""
        return self.judged - self.after.total()


def print_replay(config: str, overrides: Sequence[str], shards: str = "") -> None:
    """Print what the filters of CONFIG with the overrides would do to the documents of its published shards.

    Raises:
        SettingsError: a rule is asked for whose measure was not stored, or what is not a filter would change.
        PublishedError: the shards are not published, or hold no measures.
    """
    other = [word for word in overrides if not word.startswith("preprocess.filters.")]
    if other:
        raise SettingsError(f"{other[0]!r}: replay changes filters only; expected preprocess.filters.NAME=VALUE")
    directory = shards or make_plan(config).shards_directory
    filters = load_settings(config, overrides).preprocess.filters
    replayed = replay(directory, filters)
    Console().print(_table(directory, replayed, rules_of(filters)))


def replay(directory: str, filters: Filters) -> Replayed:
    """Judge the stored measures of published shards by other filters, one row group at a time."""
    manifest = read_manifest(directory)
    published = Filters.model_validate(manifest.settings["filters"])
    rules = rules_of(filters)
    _check(directory, manifest, published, filters)
    duplicates = _Duplicates(directory, manifest)
    found = Replayed(kept_before=manifest.details["counts"]["kept"])
    columns = [*MEASURED.names, *measures_of(rules)]
    admitted = 0
    for batch in _batches(directory, manifest, columns):
        stored = {name: batch.column(name).to_numpy() for name in measures_of(rules)}
        verdict, _ = judge(stored, batch.column("language"), rules, filters, batch.num_rows)
        passes = verdict < 0
        found.judged += batch.num_rows
        found.before.update(rule for rule in batch.column("rule").to_pylist() if rule is not None)
        found.after.update({rules[place].name: int(np.sum(verdict == place)) for place in np.unique(verdict[~passes])})
        passed = pc.is_null(batch.column("rule")).to_numpy(zero_copy_only=False)
        admitted += int(np.sum(passes & ~passed))
        duplicates.see(batch.column("doc_id"), passes)
    share = found.kept_before / max(1, found.passed_before)
    left = found.passed_after - admitted - duplicates.dropped_again()
    found.after_duplicates = left + round(admitted * share)
    return found


def _check(directory: str, manifest: Manifest, published: Filters, filters: Filters) -> None:
    details = manifest.details.get("measures")
    if details is None:
        raise PublishedError(
            f"{directory}: holds no measures, for it was preprocessed without filters; preprocess it with the filters "
            "that you want to try"
        )
    missing = [rule for rule in rules_of(filters) if not set(measures_of([rule])) <= set(details["names"])]
    if missing:
        raise SettingsError(
            f"rule {missing[0].name}: {measures_of(missing[:1])[0]} was not measured in {directory}; leave it out, or "
            "preprocess with it"
        )
    if filters.blocklist and filters.blocklist != published.blocklist:
        raise SettingsError(
            f"preprocess.filters.blocklist: other phrases were counted in {directory}, and its text is not read; "
            "leave the blocklist as it was, or empty"
        )
    if filters.c4_lines != published.c4_lines:
        raise SettingsError(
            f"preprocess.filters.c4_lines: found {str(filters.c4_lines).lower()}, but {directory} was measured with "
            f"{str(published.c4_lines).lower()}; leave it as it was"
        )


def _batches(directory: str, manifest: Manifest, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for entry in manifest.files_below("measures"):
        with storage.open_read(storage.join(directory, entry.path)) as handle:
            yield from pq.ParquetFile(handle).iter_batches(columns=columns)


class _Duplicates:
    """What was dropped after the filters, and which of it and of its kept twins would pass the new filters.

    Duplicates have a twin; contaminated documents and those of repeated parts have none, and would be dropped again.
    """

    def __init__(self, directory: str, manifest: Manifest) -> None:
        parts = [_own_twins(DROP.empty_table())]
        for entry in manifest.files_below("drops"):
            with storage.open_read(storage.join(directory, entry.path)) as handle:
                is_later = ~pc.field("stage").isin(["read", "filter"])
                columns = ["doc_id", "kept_doc_id", "detail"]
                parts.append(_own_twins(pq.read_table(handle, columns=columns, filters=is_later)))
        table = pa.concat_tables(parts).combine_chunks()
        self._ids, self._twins = table.column("doc_id"), table.column("kept_doc_id")
        self._passes = np.zeros(table.num_rows, bool)
        self._lost = np.zeros(table.num_rows, bool)

    def see(self, ids: pa.StringArray, passes: npt.NDArray[np.bool_]) -> None:
        """Take note of the documents of one batch."""
        self._passes |= _among(self._ids, ids.filter(pa.array(passes)))
        self._lost |= _among(self._twins, ids.filter(pa.array(~passes)))

    def dropped_again(self) -> int:
        """Those that pass and would still be dropped: all whose twin stays, all but one of those whose twin does not.

        A twin that was kept in earlier shards stays. That those without a twin have each other is an estimate:
        near-duplicates of one document need not be near-duplicates.
        """
        without = self._passes & self._lost
        promoted = len(pc.unique(self._twins.filter(pa.array(without))))
        return int(np.sum(self._passes)) - promoted


def _own_twins(drops: pa.Table) -> pa.Table:
    """`doc_id` and `kept_doc_id`, null where the twin is in earlier shards: a document here may have the same id."""
    is_earlier = pc.starts_with(drops["detail"], KEPT_IN_SHARDS).fill_null(False)
    own = pc.if_else(is_earlier, pa.scalar(None, pa.string()), drops["kept_doc_id"])
    return pa.table({"doc_id": drops["doc_id"], "kept_doc_id": own})


def _among(values: Any, ids: pa.StringArray) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.is_in(values, ids).to_numpy(), bool)


def _table(directory: str, found: Replayed, rules: Sequence[Rule]) -> PlainTable:
    table = PlainTable(f"{found.judged:,} judged documents of {directory}")
    table.add_column("rule", overflow="fold")
    for heading in ("threshold", "dropped as published", "dropped now"):
        table.add_column(heading, justify="right")
    bounds = {rule.name: written(rule.threshold) for rule in rules}
    for name in dict.fromkeys([*bounds, *sorted(found.before)]):
        table.add_row(name, bounds.get(name, "not in use"), f"{found.before[name]:,}", f"{found.after[name]:,}")
    table.add_section()
    table.add_row("pass the filters (exact)", "", f"{found.passed_before:,}", f"{found.passed_after:,}")
    table.add_row(
        "left without duplicates (estimate)", "", f"{found.kept_before:,}", f"about {found.after_duplicates:,}"
    )
    return table
