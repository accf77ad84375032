"""Counting: Spark's sums are those of plain Python, whatever the partitions."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from mapring.settings.words import Words
from spark_jobs.counting.chunks import CHUNK_BYTES, chunks
from spark_jobs.counting.documents import cluster_sizes, measure_histograms
from spark_jobs.counting.keys import KeyCounter, count_keys
from spark_jobs.counting.ngrams import top_ngrams
from spark_jobs.counting.terms import top_terms
from spark_jobs.counting.words import top_words
from tests.tiny import sentence

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

ROWS = [
    (f"s{number % 2}", None if number % 5 == 0 else sentence(number)[1], sentence(number)[0]) for number in range(120)
]
SETTINGS = Words(most_words=30, most_ngrams=15, top_terms=4)


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    yield SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()


def frame(spark: SparkSession, partitions: int) -> DataFrame:
    return spark.createDataFrame(ROWS, "source string, label string, text string").repartition(partitions)


def word_counts() -> tuple[Counter[str], Counter[str]]:
    occurrences: Counter[str] = Counter()
    documents: Counter[str] = Counter()
    for _, _, text in ROWS:
        occurrences.update(text.split())
        documents.update(set(text.split()))
    return occurrences, documents


def counter_of(vocabulary: Iterable[str]) -> KeyCounter:
    return KeyCounter(SETTINGS, pa.array(sorted(vocabulary)), ("negative", "neutral", "positive"), ("s0", "s1"))


@pytest.mark.parametrize("partitions", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_words_are_counted_and_the_rarest_cut_off(spark: SparkSession, partitions: int) -> None:
    occurrences, documents = word_counts()
    table, totals = top_words(frame(spark, partitions), SETTINGS)
    expected = sorted(occurrences, key=lambda word: (-occurrences[word], word))[:30]
    assert table.to_pylist() == [
        {"word": word, "occurrences": occurrences[word], "documents": documents[word]} for word in expected
    ]
    assert tuple(totals) == (len(occurrences), occurrences.total())


@pytest.mark.parametrize("partitions", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_ngrams_of_frequent_words_are_counted_inside_documents(spark: SparkSession, partitions: int) -> None:
    vocabulary = {word for word, _ in word_counts()[0].most_common(12)}
    found: dict[int, Counter[str]] = {2: Counter(), 3: Counter()}
    for _, _, text in ROWS:
        parts = text.split()
        for n, counter in found.items():
            runs = [parts[start : start + n] for start in range(len(parts) - n + 1)]
            counter.update(" ".join(run) for run in runs if vocabulary.issuperset(run))
    counter = counter_of(vocabulary)
    table = top_ngrams(count_keys(frame(spark, partitions), counter), counter)
    expected = [
        {"n": n, "ngram": ngram, "occurrences": counter[ngram]}
        for n, counter in found.items()
        for ngram in sorted(counter, key=lambda run: (-counter[run], run.split()))[:15]
    ]
    assert table.to_pylist() == expected


def test_top_terms_are_tf_idf_of_each_label_and_source(spark: SparkSession) -> None:
    occurrences, documents = word_counts()
    counter = counter_of(occurrences)
    frequencies = pa.table({"word": list(documents), "documents": list(documents.values())})
    rows = top_terms(count_keys(frame(spark, 3), counter), counter, frequencies, len(ROWS)).to_pylist()
    in_group: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for source, label, text in ROWS:
        in_group["source", source].update(text.split())
        if label is not None:
            in_group["label", label].update(text.split())
    assert {(row["kind"], row["name"]) for row in rows} == set(in_group)
    for group, counter in in_group.items():
        scores = {w: n / counter.total() * math.log(len(ROWS) / documents[w]) for w, n in counter.items()}
        mine = [row for row in rows if (row["kind"], row["name"]) == group]
        assert [row["rank"] for row in mine] == [1, 2, 3, 4]
        best = sorted(scores.values(), reverse=True)[:4]
        assert [row["score"] for row in mine] == pytest.approx(best)
        assert all(row["score"] == pytest.approx(scores[row["word"]]) for row in mine)


def test_a_corpus_without_words_has_empty_tables(spark: SparkSession) -> None:
    settings = Words(minimum_length=1000)
    table, totals = top_words(frame(spark, 2), settings)
    assert (table.num_rows, *totals) == (0, 0, 0)
    counter = KeyCounter(settings, table.column("word").combine_chunks(), (), ("s0",))
    keys = count_keys(frame(spark, 2), counter)
    assert top_ngrams(keys, counter).num_rows == top_terms(keys, counter, table, len(ROWS)).num_rows == 0


def test_clusters_are_counted_by_size_and_rule(spark: SparkSession) -> None:
    rows = [("a", "a", None), ("b", "a", "exact"), ("c", "a", "exact"), ("d", "d", None), ("e", "d", "near")]
    rows += [("f", "f", None), ("g", "f", "near"), ("h", "h", None)]
    own = [(*row, None) for row in rows]
    earlier = [("h", "h", "near", "shards"), ("i", "h", "near", "shards")]  # of earlier ones, and of the same id
    marked = spark.createDataFrame(
        [*own, *earlier], "doc_id string, kept_doc_id string, duplicate_rule string, kept_in string"
    )
    assert cluster_sizes(marked).to_pylist() == [
        {"rule": "exact", "documents": 3, "clusters": 1},
        {"rule": "near", "documents": 2, "clusters": 2},
        {"rule": "near", "documents": 3, "clusters": 1},
    ]


def test_measures_are_counted_in_bins_without_those_that_were_not_measured(spark: SparkSession) -> None:
    rows = [([9.0, 0.31],), ([9.0, 0.32],), (None,), ([17.0, 0.0],)]
    documents = spark.createDataFrame(rows, "measures array<float>").repartition(3)
    table = measure_histograms(documents, ["words", "short_line_share"])
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        ("short_line_share", 0.0, 1),
        ("short_line_share", 0.3, 1),
        ("short_line_share", 0.32, 1),
        ("words", 9.0, 2),
        ("words", 16.0, 1),
    ]
    assert measure_histograms(documents, []).num_rows == 0


def test_chunks_hold_all_rows_in_order_and_are_bounded() -> None:
    big = "x" * (CHUNK_BYTES // 3)
    batches = [pa.record_batch({"text": [big, str(number)]}) for number in range(7)]
    found = list(chunks([*batches, batches[0].slice(0, 0)]))
    assert [text for batch in found for text in batch["text"].to_pylist()] == [
        text for batch in batches for text in batch["text"].to_pylist()
    ]
    assert len(found) == 4 and all(batch.nbytes <= CHUNK_BYTES for batch in found)
    assert list(chunks([])) == []
