"""How a stage's work is cut: shuffle partitions and Arrow batches, from what a sample tells of the corpus.

Only execution: whatever is chosen here, the same bytes are published.
"""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1 << 20
MOST_PARTITIONS = 20_000  # each map task of a shuffle writes for all of them, and the driver keeps their sizes
MOST_BATCH_DOCUMENTS = 4096  # more make nothing faster
LEAST_BATCH_BYTES, MOST_BATCH_BYTES = 4 * _MIB, 64 * _MIB
_USUAL_BATCH_BYTES = 16 * _MIB  # as the readers make them
_COPIES = 16  # of a batch in a Python worker at its worst: Arrow, Python texts, words, n-grams, and what is given back


@dataclass(frozen=True)
class Work:
    """How much one task of a stage should do.

    `least_content` is what is worth a task of its own, in decompressed bytes of the input; `text` is what a
    partition should hold of large corpora, in bytes.
    """

    least_content: int
    text: int


PREPROCESS = Work(least_content=256 << 10, text=96 * _MIB)
SCORE = Work(least_content=16 << 10, text=16 * _MIB)  # a model takes a hundred times as long for a text


@dataclass(frozen=True)
class Sizes:
    """Shuffle partitions; most documents and most bytes of one Arrow batch."""

    partitions: int
    batch_documents: int
    batch_bytes: int


def choose_sizes(
    work: Work,
    *,
    content_bytes: int,
    text_bytes: int,
    mean_document: float,
    largest_document: int,
    cores: int,
    worker_bytes: int | None,
) -> Sizes:
    """Sizes for a corpus.

    Args:
        work: of one task.
        content_bytes: of the input files when decompressed.
        text_bytes: of the documents in them.
        mean_document: bytes of text; 0 where it is not known.
        largest_document: bytes of text of the largest one known.
        cores: tasks at a time.
        worker_bytes: memory for one Python worker; None where it is not known.
    """
    batch_bytes = choose_batch_bytes(largest_document, worker_bytes)
    return Sizes(
        partitions=choose_partitions(work, content_bytes, text_bytes, cores),
        batch_documents=choose_batch_documents(mean_document, batch_bytes),
        batch_bytes=batch_bytes,
    )


def choose_partitions(work: Work, content_bytes: int, text_bytes: int, cores: int) -> int:
    """One for each `work.text` of a large corpus; else two for each core, so that one slow task does not idle the
    others, but none that is not worth a task. More than the cores are a multiple of them: the last wave is full.
    """
    worth = max(1, -(-content_bytes // work.least_content))
    count = max(min(2 * cores, worth), -(-text_bytes // work.text))
    if count > cores:
        count = -(-count // cores) * cores
    return min(count, max(MOST_PARTITIONS, cores))


def choose_batch_bytes(largest_document: int, worker_bytes: int | None) -> int:
    """As many as a worker can hold several copies of. A batch ends with the document that reaches the bound."""
    if worker_bytes is None:
        return MOST_BATCH_BYTES
    room = worker_bytes // _COPIES - largest_document
    return max(LEAST_BATCH_BYTES, min(room, MOST_BATCH_BYTES) // _MIB * _MIB)


def choose_batch_documents(mean_document: float, batch_bytes: int) -> int:
    """A power of two of usual documents that stays within the bytes; the bytes still bound unusual ones."""
    fitting = int(min(_USUAL_BATCH_BYTES, batch_bytes) / max(mean_document, 1.0))
    return min(MOST_BATCH_DOCUMENTS, 1 << max(0, fitting.bit_length() - 1))
