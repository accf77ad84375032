"""Sizes of partitions and batches: within bounds, growing with the corpus, few for a small one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.sizing import (
    LEAST_BATCH_BYTES,
    MOST_BATCH_BYTES,
    MOST_BATCH_DOCUMENTS,
    MOST_PARTITIONS,
    PREPROCESS,
    SCORE,
    Sizes,
    Work,
    choose_batch_bytes,
    choose_batch_documents,
    choose_partitions,
    choose_sizes,
)

MB, GB, TB = 10**6, 10**9, 10**12
WORKS, BYTES, CORES = st.sampled_from([PREPROCESS, SCORE]), st.integers(0, 10**16), st.integers(1, 4096)


@given(WORKS, BYTES, BYTES, CORES)
def test_partitions_are_within_bounds(work: Work, content: int, text: int, cores: int) -> None:
    found = choose_partitions(work, content, text, cores)
    assert 1 <= found <= max(MOST_PARTITIONS, cores)
    assert found <= cores or found % cores == 0 or found == MOST_PARTITIONS
    if content >= cores * work.least_content:
        assert found >= cores, "no core is idle where there is work for it"
    if max(content, text) <= work.text:
        assert found <= 2 * cores, "a small corpus is not cut up"
    if found < MOST_PARTITIONS:
        assert text / found <= work.text


@given(WORKS, BYTES, BYTES, BYTES, BYTES, CORES)
def test_more_bytes_never_make_fewer_partitions(
    work: Work, content: int, more_content: int, text: int, more_text: int, cores: int
) -> None:
    (content, more_content), (text, more_text) = sorted((content, more_content)), sorted((text, more_text))
    assert choose_partitions(work, content, text, cores) <= choose_partitions(work, more_content, more_text, cores)


@given(st.integers(1, TB), st.integers(1, 64))
def test_partitions_of_a_large_corpus_hold_64_to_128_megabytes(text: int, cores: int) -> None:
    found = choose_partitions(PREPROCESS, text, text, cores)
    assert text / found <= 128 * MB
    if text > 2 * cores * PREPROCESS.text:
        assert text / found >= 64 * MB


@pytest.mark.parametrize(
    ("text", "cores", "expected"),
    [
        (0, 2, 1),
        (20_000, 2, 1),
        (400_000, 2, 2),
        (5 * MB, 2, 4),
        (1200 * MB, 2, 12),
        (TB, 64, 9984),
        (100 * TB, 64, 20000),
    ],
)
def test_corpora_of_the_usual_sizes(text: int, cores: int, expected: int) -> None:
    assert choose_partitions(PREPROCESS, text, text, cores) == expected


@given(st.floats(0, 1e10), st.integers(0, 10**10), st.none() | st.integers(0, 10**12))
def test_batches_are_within_bounds(mean: float, largest: int, worker: int | None) -> None:
    size = choose_batch_bytes(largest, worker)
    documents = choose_batch_documents(mean, size)
    assert LEAST_BATCH_BYTES <= size <= MOST_BATCH_BYTES
    assert 1 <= documents <= MOST_BATCH_DOCUMENTS and documents & (documents - 1) == 0
    assert documents == 1 or documents * mean <= size
    if worker is not None and size > LEAST_BATCH_BYTES:
        assert (size + largest) * 16 <= worker, "a batch ends with the document that reaches the bound"


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_larger_documents_never_make_larger_batches(mean: float, more: float, largest: int, larger: int) -> None:
    (mean, more), (largest, larger) = sorted((mean, more)), sorted((largest, larger))
    assert choose_batch_documents(mean, 64 << 20) >= choose_batch_documents(more, 64 << 20)
    assert choose_batch_bytes(largest, 4 * GB) >= choose_batch_bytes(larger, 4 * GB)


def test_books_come_in_small_batches_and_scoring_in_small_partitions() -> None:
    known = {"text_bytes": 50 * MB, "content_bytes": 100 * MB, "cores": 4, "worker_bytes": 4 << 30}
    books = choose_sizes(PREPROCESS, mean_document=500_000, largest_document=20 << 20, **known)
    assert books == Sizes(partitions=8, batch_documents=32, batch_bytes=64 << 20)
    notes = choose_sizes(SCORE, mean_document=3100, largest_document=9000, **{**known, "text_bytes": 500 * MB})
    assert notes == Sizes(partitions=32, batch_documents=4096, batch_bytes=64 << 20)
