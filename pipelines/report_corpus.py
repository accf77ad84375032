"""What the report tells of the corpus itself, from the stats/ tables of the shards: plain values, no markup."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mapring import storage
from mapring.contract import Manifest
from mapring.histogram import is_share, lower_bounds, upper_bound
from pipelines import plots
from pipelines.report_tables import batches, rows_of_table

_WORDS, _NGRAMS, _TERMS = 30, 15, 12  # rows shown
_OCTAVE_BINS = 2  # of the bars; the tables have eight bins an octave


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Sources, duplicates, words and histograms; empty where a table was not written.

    `terms` has a row for each label and source, best terms first; histograms have bars of (lower bound,
    upper bound, documents); `languages` are those of judged documents, kept or not, where filters were to tell them.
    """

    sources: Sequence[Mapping[str, Any]]
    clusters: Sequence[Mapping[str, Any]]
    words: Sequence[Mapping[str, Any]]
    ngrams: Sequence[Mapping[str, Any]]
    terms: Sequence[tuple[str, str, Sequence[str]]]
    characters: Sequence[tuple[float, float, int]]
    measures: Mapping[str, Sequence[tuple[float, float, int]]]
    languages: Mapping[str | None, int]


def gather_corpus(directory: str, manifest: Manifest) -> Corpus:
    """Read the tables, of the large ones only the first rows."""
    terms: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows_of_table(directory, manifest, "top_terms"):
        if row["rank"] <= _TERMS:
            terms[row["kind"], row["name"]].append(row["word"])
    characters: Counter[float] = Counter()
    for row in rows_of_table(directory, manifest, "characters"):
        characters[row["lower"]] += row["documents"]
    measures: defaultdict[str, Counter[float]] = defaultdict(Counter)
    for row in rows_of_table(directory, manifest, "measures"):
        measures[row["measure"]][row["lower"]] += row["documents"]
    ngrams: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows_of_table(directory, manifest, "ngrams"):
        if len(ngrams[row["n"]]) < _NGRAMS:
            ngrams[row["n"]].append(row)
    return Corpus(
        sources=list(rows_of_table(directory, manifest, "sources")),
        clusters=list(rows_of_table(directory, manifest, "cluster_sizes"))[:_WORDS],
        words=[row for _, row in zip(range(_WORDS), rows_of_table(directory, manifest, "words"), strict=False)],
        ngrams=[row for rows in ngrams.values() for row in rows],
        terms=[(kind, name, words) for (kind, name), words in terms.items()],
        characters=_bars(characters, shares=False),
        measures={name: _bars(counts, shares=is_share(name)) for name, counts in sorted(measures.items())},
        languages=dict(_languages(directory, manifest).most_common()),
    )


def _languages(directory: str, manifest: Manifest) -> Counter[str | None]:
    """Judged documents by language, from one column of the stored measures; empty where none was told."""
    found: Counter[str | None] = Counter()
    for batch in batches(
        [storage.join(directory, entry.path) for entry in manifest.files_below("measures")], ["language"]
    ):
        for item in batch.column("language").value_counts().to_pylist():
            found[item["values"]] += item["counts"]
    return found if any(name is not None for name in found) else Counter()


def draw_corpus(corpus: Corpus) -> dict[str, str]:
    """SVG of the histograms: `characters`, and `measure:NAME` for each measure."""
    drawn = {"characters": _draw("Length of documents in characters", "characters", corpus.characters)}
    for name, bars in corpus.measures.items():
        drawn[f"measure:{name}"] = _draw(name, name.replace("_", " "), bars)
    return drawn


def _draw(title: str, label: str, bars: Sequence[tuple[float, float, int]]) -> str:
    shown = [
        plots.Bar(f"{low:g}", count, f"from {low:g} to {high:g}: {count:,} documents") for low, high, count in bars
    ]
    return plots.bar_chart(shown, title=title, x_label=label, y_label="documents")


def _bars(counts: Mapping[float, int], *, shares: bool) -> list[tuple[float, float, int]]:
    """Bins joined to fewer ones, in order; none is left out between the first and the last that hold something."""
    joined: Counter[float] = Counter()
    for lower, documents in counts.items():
        joined[_joined(lower, shares)] += documents
    bars: list[tuple[float, float, int]] = []
    for lower in sorted(joined):
        while bars and 0 < bars[-1][1] < lower and not shares:
            bars.append((bars[-1][1], upper_bound(bars[-1][1], shares=False, octave_bins=_OCTAVE_BINS), 0))
        bars.append((lower, upper_bound(lower, shares=shares, octave_bins=_OCTAVE_BINS), joined[lower]))
    return bars


def _joined(lower: float, shares: bool) -> float:
    return lower if shares else float(lower_bounds([lower], shares=False, octave_bins=_OCTAVE_BINS)[0])
