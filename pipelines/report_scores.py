"""What the report tells of the scores table: its answers as counts, rows by error, and drift; values and a plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mapring import storage
from mapring.plan import Plan
from mapring.scores.table import ScoresTable, ScoringCommit, latest_commit
from mapring.scores.work import find_work
from mapring.settings.combinations import ModeName
from mapring.watch import distances
from mapring.watch.reference import read_histograms
from pipelines import plots
from pipelines.report_answers import AnswerCounts, by_bin, columns_of, count_answers, expected_answers
from pipelines.report_tables import batches

_ANSWER_TITLES = {  # and what the axis has
    "classify": ("Scores", "score of the most probable label"),
    "answer": ("Scores", "score of the most probable label"),
    "retrieve": ("Scores", "similarity of the nearest template"),
    "regression": ("Values", "value"),
    "perplexity": ("Losses", "loss in nats a token, the logarithm of the perplexity"),
}

_MOST_DRAFTS = 5


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
    labels: Sequence[str]  # of the table of labels: all that the model has, or those that were given
    expected: Mapping[str, int] | None  # what the model answered when it was published, by label or bin
    expected_split: str | None  # on this split
    drift: float | None
    drafts: Sequence[Mapping[str, str]] = ()  # a few rows with one: place, label, answer, draft and draft_finish


def gather_scores(plan: Plan) -> Scores | None:
    """The scores of a plan, if the table is what its settings ask for; drift where all rows are of one model."""
    if plan.settings.score is None:
        return None
    table, work = find_work(plan, is_look=True)
    if table is None or not work.is_done:
        return None
    mode = plan.score_mode
    has_labels = mode in ("classify", "answer")
    reference = read_histograms(plan.scoring_model_directory) if table.models == [plan.scoring_model] else None
    uris = [storage.join(plan.run.scores, file.path) for file in table.files]
    columns = columns_of(mode)
    answers = count_answers(mode, batches(uris, columns) if columns else (), reference)
    found = answers.labels if has_labels else by_bin(answers.histogram)
    expected = None if reference is None else expected_answers(mode, reference)
    labels = list(dict.fromkeys([*(expected if expected and has_labels else ()), *sorted(answers.labels)]))
    is_whole = not answers.abstained  # withheld labels would look like a drift
    return Scores(
        table=table,
        commit=latest_commit(plan.run.scores),
        errors=_errors(uris),
        mode=mode,
        answers=answers,
        labels=labels,
        expected=expected,
        expected_split=None if reference is None else reference["split"],
        drafts=_drafts(uris) if plan.decoder is not None else (),
        drift=population_stability_index(expected, found) if expected and is_whole and sum(found.values()) else None,
    )


def _drafts(uris: Sequence[str]) -> list[dict[str, str]]:
    """The first rows of the table that have a draft."""
    found: list[dict[str, str]] = []
    for batch in batches(uris, ["source", "path", "record", "label", "answer", "draft", "draft_finish"]):
        for row in batch.filter(batch.column("draft").is_valid()).slice(0, _MOST_DRAFTS - len(found)).to_pylist():
            place = f"{row.pop('source')}/{row.pop('path')}:{row.pop('record')}"
            found.append({"place": place, **{name: value or "" for name, value in row.items()}})
        if len(found) == _MOST_DRAFTS:
            break
    return found


def _errors(uris: Sequence[str]) -> dict[str, int]:
    """Rows without an answer, by the rule that says why."""
    total: Counter[str] = Counter()
    for batch in batches(uris, ["error"]):
        for item in batch.column("error").drop_null().value_counts().to_pylist():
            total[item["values"]] += item["counts"]
    return dict(sorted(total.items()))


def population_stability_index(expected: Mapping[str, int], found: Mapping[str, int]) -> float:
    """That of `mapring.watch.distances`, of counts by class."""
    classes = sorted({*expected, *found})
    return distances.population_stability_index(
        [expected.get(name, 0) for name in classes], [found.get(name, 0) for name in classes]
    )


def draw_scores(scores: Scores) -> str:
    """SVG of the answers in bins; empty of modes whose answers have none."""
    if not scores.answers.histogram:
        return ""
    title, of_values = _ANSWER_TITLES[scores.mode]
    edges = scores.answers.edges
    bars = [
        plots.Bar(plots.tick_text(low), count, f"{low:.4g} to {high:.4g}: {count:,} rows")
        for low, high, count in zip(edges, edges[1:], scores.answers.histogram, strict=False)
    ]
    return plots.bar_chart(bars, title=title, x_label=of_values, y_label="rows")
