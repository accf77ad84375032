"""What the report tells, gathered from what is published: plain values, no markup.

Tables are read batch by batch and only in the columns needed, so that the report of a large run
needs no more memory than that of a small one.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mapring import storage
from mapring.contract import Manifest, is_published, read_manifest
from mapring.plan import Plan
from mapring.scores.table import ScoresTable, ScoringCommit, latest_commit
from mapring.scores.work import find_work
from mapring.settings.combinations import ModeName
from mapring.watch import distances
from mapring.watch.reference import read_histograms
from pipelines.report_answers import AnswerCounts, by_bin, columns_of, count_answers, expected_answers
from pipelines.report_corpus import Corpus, gather_corpus

EXAMPLES = 5
_LENGTH_BINS = 32
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data card: counts, examples of what was dropped, labels by split and source, lengths."""

    manifest: Manifest
    examples: Mapping[str, Sequence[Mapping[str, Any]]]
    labels: Sequence[Mapping[str, Any]]
    lengths: Sequence[tuple[int, int, int]]  # shortest and longest number of tokens of a bin, documents
    corpus: Corpus


@dataclass(frozen=True, kw_only=True)
class Model:
    """The trained model, and the curves of its training (None where only the model was kept)."""

    directory: str
    manifest: Manifest
    steps: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores table: its answers as counts, rows by error, and the drift of the labels, or of numbers by bin.

    `commit` is the newest scoring, None where the table's log does not reach back to it.
    """

    table: ScoresTable
    commit: ScoringCommit | None
    errors: Mapping[str, int]
    mode: ModeName
    answers: AnswerCounts
    expected: Mapping[str, int] | None  # what the model answered when it was published, by label or bin
    expected_split: str | None  # on this split
    drift: float | None


def gather_data(plan: Plan) -> Data | None:
    """The data card of a plan's shards; None where they are not published."""
    directory = plan.shards_directory
    if not is_published(directory):
        return None
    manifest = read_manifest(directory)
    by_split: dict[tuple[str, str], dict[str, Any]] = {}
    for row in _rows(directory, _named(manifest, "stats/labels-")):
        by_split.setdefault((row["split"], row["source"]), {"documents": {}})["documents"][row["label"]] = row[
            "documents"
        ]
    for row in _rows(directory, _named(manifest, "stats/sources-")):  # a document of several labels counts once
        by_split[row["split"], row["source"]].update(total=row["documents"], tokens=row["tokens"])
    lengths: Counter[int] = Counter()
    for row in _rows(directory, _named(manifest, "stats/lengths-")):
        lengths[row["tokens"]] += row["documents"]
    return Data(
        manifest=manifest,
        examples=_examples(directory, manifest),
        labels=[
            {"split": split, "source": source, **entry}
            for (split, source), entry in sorted(by_split.items(), key=lambda item: _SPLITS.index(item[0][0]))
        ],
        lengths=length_bins(lengths),
        corpus=gather_corpus(directory, manifest),
    )


def gather_model(plan: Plan) -> Model | None:
    """The model of a plan; None where it is not published."""
    if not is_published(plan.model_directory):
        return None
    return Model(
        directory=plan.model_directory,
        manifest=read_manifest(plan.model_directory),
        steps=read_steps(plan.training_directory),
    )


def gather_scores(plan: Plan) -> Scores | None:
    """The scores of a plan, if the table is what its settings ask for; drift where all rows are of one model."""
    if plan.settings.score is None:
        return None
    table, work = find_work(plan, is_look=True)
    if table is None or not work.is_done:
        return None
    mode = plan.score_mode
    reference = read_histograms(plan.scoring_model_directory) if table.models == [plan.scoring_model] else None
    uris = [storage.join(plan.run.scores, file.path) for file in table.files]
    columns = columns_of(mode)
    answers = count_answers(mode, _batches(uris, columns) if columns else (), reference)
    found = answers.labels if mode == "classify" else by_bin(answers.histogram)
    expected = None if reference is None else expected_answers(mode, reference)
    is_whole = not answers.abstained  # withheld labels would look like a drift
    return Scores(
        table=table,
        commit=latest_commit(plan.run.scores),
        errors=_errors(uris),
        mode=mode,
        answers=answers,
        expected=expected,
        expected_split=None if reference is None else reference["split"],
        drift=population_stability_index(expected, found) if expected and is_whole and sum(found.values()) else None,
    )


def _errors(uris: Sequence[str]) -> dict[str, int]:
    """Rows without an answer, by the rule that says why."""
    total: Counter[str] = Counter()
    for batch in _batches(uris, ["error"]):
        for item in batch.column("error").drop_null().value_counts().to_pylist():
            total[item["values"]] += item["counts"]
    return dict(sorted(total.items()))


def population_stability_index(expected: Mapping[str, int], found: Mapping[str, int]) -> float:
    """That of `mapring.watch.distances`, of counts by class."""
    classes = sorted({*expected, *found})
    return distances.population_stability_index(
        [expected.get(name, 0) for name in classes], [found.get(name, 0) for name in classes]
    )


def length_bins(lengths: Mapping[int, int]) -> list[tuple[int, int, int]]:
    """Documents by number of tokens in at most 32 bins of equal width: shortest, longest, documents."""
    if not lengths:
        return []
    low, high = min(lengths), max(lengths)
    width = math.ceil((high - low + 1) / _LENGTH_BINS)
    starts = range(low, high + 1, width)
    return [(s, s + width - 1, sum(lengths.get(n, 0) for n in range(s, s + width))) for s in starts]


def read_steps(training_directory: str) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line that a kill has cut is left out."""
    uri = storage.join(training_directory, "metrics.jsonl")
    if not storage.exists(uri):
        return []
    steps = []
    for line in storage.read_bytes(uri).splitlines():
        try:
            steps.append(json.loads(line))
        except ValueError:
            continue
    return steps


def _examples(directory: str, manifest: Manifest) -> dict[str, list[dict[str, Any]]]:
    """Up to 5 ledger rows of each rule; reading ends when every rule has its own."""
    counts: Mapping[str, int] = manifest.details["counts"]["dropped"]
    missing = {rule: min(EXAMPLES, count) for rule, count in counts.items()}
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(directory, [entry.path for entry in manifest.files_below("drops")]):
        if missing.get(row["rule"], 0):
            found[row["rule"]].append(row)
            missing[row["rule"]] -= 1
        if not any(missing.values()):
            break
    return dict(found)


def _named(manifest: Manifest, prefix: str) -> list[str]:
    return [entry.path for entry in manifest.files if entry.path.startswith(prefix)]


def _rows(directory: str, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    for batch in _batches([storage.join(directory, path) for path in paths], None):
        yield from batch.to_pylist()


def _batches(uris: Sequence[str], columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    for uri in uris:
        with storage.open_read(uri) as handle:
            yield from pq.ParquetFile(handle).iter_batches(columns=columns)
