"""The tokenizing stage against the tokenizers library alone: same texts, cores and number of processes.

Both encode texts that are already in memory and drop the ids again: what is compared is what Spark and Arrow add to
the library, in tokens per second. Sessions, processes and tokenizers are started before the clock.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from tokenizers import Tokenizer

from benchmarks.corpus import doc_strings
from benchmarks.results import Figure, figure
from mapring.storage import resolve
from spark_jobs.shards import encoder_at

MAX_LENGTH = 512
_ROUNDS = 3
_TEXTS_AT_ONCE = 1024  # of the library alone: more does not make it faster
_state: dict[str, object] = {}


def tokenizing_figures(tokenizer: str) -> list[Figure]:
    """Median of the ratios of three pairs of runs, one after the other; `tokenizer` is a directory's URI."""
    directory, corpus = resolve(tokenizer), doc_strings()
    cores = len(os.sched_getaffinity(0))
    spark = SparkSession.builder.master(f"local[{cores}]").config("spark.ui.showConsoleProgress", "false").getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    texts = spark.read.json(str(corpus)).select("text").repartition(cores * 4).persist()
    with multiprocessing.get_context("spawn").Pool(cores, _load, (directory, str(corpus))) as pool:
        pairs = []
        for _ in range(_ROUNDS + 1):  # the first pair warms up
            began = time.monotonic()
            ours = _count_in_spark(texts, directory)
            middle = time.monotonic()
            raw = sum(pool.map(_count_alone, range(cores * 4), chunksize=1))
            ended = time.monotonic()
            assert ours == raw, f"different tokens: {ours} and {raw}"
            pairs.append((ours / (middle - began), raw / (ended - middle)))
    spark.stop()
    ratio = statistics.median(ours / raw for ours, raw in pairs[1:])
    rate = statistics.median(ours for ours, _ in pairs[1:])
    return [
        figure("tokenize_vs_raw", ratio, 0.85, "ratio", peer="tokenizers 0.23.3"),
        figure("tokenize_tokens_per_second", rate, 1e6, "tokens/s"),
    ]


def _count_in_spark(texts: DataFrame, directory: str) -> int:
    def encode(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            ids = encoder_at(directory, MAX_LENGTH).encode_arrow(batch.column("text"))
            yield pa.RecordBatch.from_pydict({"tokens": [pc.sum(pc.list_value_length(ids)).as_py()]})

    found = texts.mapInArrow(encode, "tokens long").agg(F.sum("tokens")).first()
    assert found is not None
    return int(found[0])


def _load(directory: str, corpus: str) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = Tokenizer.from_file(str(Path(directory, "tokenizer.json")))
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.no_padding()
    lines = [line for path in sorted(Path(corpus).glob("*.jsonl")) for line in path.read_text().split("\n") if line]
    _state.update(tokenizer=tokenizer, texts=[json.loads(line)["text"] for line in lines])


def _count_alone(part: int) -> int:
    tokenizer, texts = _state["tokenizer"], _state["texts"]
    assert isinstance(tokenizer, Tokenizer) and isinstance(texts, list)
    parts = 4 * len(os.sched_getaffinity(0))
    own = texts[part::parts]
    batches = (own[start : start + _TEXTS_AT_ONCE] for start in range(0, len(own), _TEXTS_AT_ONCE))
    return sum(len(encoding.ids) for batch in batches for encoding in tokenizer.encode_batch_fast(batch))
