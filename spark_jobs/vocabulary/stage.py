"""The tokenizer of a corpus: copied from a directory, or trained on the kept documents of the training split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import functions as F

from mapring import storage
from mapring.base_model import transformers_directory
from mapring.contract import FileEntry, write_file
from mapring.errors import InputError
from mapring.pairs import as_lines
from mapring.progress import say
from mapring.settings.tokenizer import TokenizerSource
from spark_jobs.vocabulary.fast_tokenizer import train_tokenizer
from spark_jobs.vocabulary.learning import scaled_to
from spark_jobs.vocabulary.words import count_words

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
_WORD_COUNT = pa.schema([pa.field("word", pa.string(), nullable=False), pa.field("count", pa.int64(), nullable=False)])


def publish_tokenizer(
    documents: DataFrame, source: TokenizerSource, directory: str, stage: str
) -> tuple[list[FileEntry], dict[str, Any]]:
    """Write the tokenizer below `tokenizer/`; also return what the manifest says of it.

    Args:
        documents: kept documents with `text` and `split`; read only where a tokenizer is trained.
        source: the settings.
        directory: the shards directory.
        stage: name of the stage, for progress.

    Raises:
        InputError: the training split has no words, or more characters than the vocabulary has room for.
    """
    if source.directory is not None:
        files, trained = _copied(source.directory), None
    else:
        files, trained = _trained(documents.where("split = 'train'"), source, stage)
    entries = [write_file(directory, f"tokenizer/{name}", content) for name, content in files.items()]
    return entries, {"path": "tokenizer", "files": list(files), "trained": trained}


def _copied(directory: str) -> dict[str, bytes]:
    inside = transformers_directory(directory)
    uris = {name: storage.join(inside, name) for name in _FILES}
    return {name: storage.read_bytes(uri) for name, uri in uris.items() if storage.exists(uri)}


def _trained(documents: DataFrame, source: TokenizerSource, stage: str) -> tuple[dict[str, bytes], dict[str, Any]]:
    counts, found = corpus_words(documents, source)
    if not counts:
        raise InputError(
            "preprocess.tokenizer: the training split has no words to learn from; give more text or smaller shares "
            "of preprocess.splits"
        )
    told = {**found, "counts_scaled_to": scaled_to(counts, source)}
    cut = f", {told['words_cut_off']:,} rarest left out" if told["words_cut_off"] else ""
    cut += f", counts scaled down to {told['counts_scaled_to']:,}" if told["counts_scaled_to"] else ""
    say(stage, f"{source.train} tokenizer from {told['words_counted']:,} words, {told['words']:,} different{cut}")
    return train_tokenizer(counts, source), told


def corpus_words(documents: DataFrame, source: TokenizerSource) -> tuple[dict[str, int], dict[str, int]]:
    """The most frequent words of all documents with their counts, and how many there were.

    Sums of integers, cut by (count, word): the same whatever the partitions. The driver holds at most
    `most_words` of them.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    parts = documents.select("text").mapInArrow(_Counter(source), from_arrow_schema(_WORD_COUNT))
    counted = parts.groupBy("word").agg(F.sum("count").alias("count")).persist()
    total = counted.agg(F.count("*").alias("words"), F.coalesce(F.sum("count"), F.lit(0)).alias("counted")).first()
    assert total is not None
    frequent = counted.orderBy(F.desc("count"), "word").limit(source.most_words).toArrow()
    counted.unpersist()
    counts = dict(zip(frequent["word"].to_pylist(), frequent["count"].to_pylist(), strict=True))
    told = {
        "words": total["words"],
        "words_counted": total["counted"],
        "words_cut_off": total["words"] - len(counts),
        "counts_cut_off": total["counted"] - sum(counts.values()),
    }
    return counts, told


class _Counter:
    """Counts the words of Arrow batches inside tasks."""

    def __init__(self, source: TokenizerSource) -> None:
        self.source = source

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            words = count_words(as_lines(batch.column("text")), self.source)
            yield pa.RecordBatch.from_arrays([pa.array(words.keys()), pa.array(words.values())], schema=_WORD_COUNT)
