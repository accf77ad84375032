"""Vectors of texts by a model, computed in Spark's tasks and gathered in the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_jobs.session import watch
from spark_jobs.task_predictor import load_task_predictor

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TEXTS_PER_BLOCK = 512  # embedded together, so that vectors do not hang on how many tasks there are


def embedded(
    spark: SparkSession, texts: Sequence[str], *, directory: str, batch_tokens: int, stage: str, what: str
) -> npt.NDArray[np.float32]:
    """Vectors of texts by a model, (len(texts), width), of length 1; 0 of texts that it fails on.

    Args:
        spark: the session.
        texts: to embed.
        directory: where the model is published.
        batch_tokens: tokens of one padded batch.
        stage: that tells how far it is.
        what: the texts are, in words.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    context = spark.sparkContext
    counted, sent = context.accumulator(0), context.broadcast(list(texts))
    blocks = -(-len(texts) // _TEXTS_PER_BLOCK)
    schema = pa.schema([pa.field("block", pa.int64()), pa.field("vectors", pa.list_(pa.list_(pa.float32())))])
    run = partial(
        _embed_blocks,
        texts=lambda: sent.value,
        directory=directory,
        batch_tokens=batch_tokens,
        schema=schema,
        on_rows=counted.add,
    )
    frame = spark.range(0, blocks, 1, blocks).mapInArrow(run, from_arrow_schema(schema))
    with watch(spark, stage, f"embed {len(texts):,} texts of {what}", counted):
        rows = sorted((row["block"], row["vectors"]) for row in frame.collect())
    return np.concatenate([np.asarray(vectors, np.float32) for _, vectors in rows])


def _embed_blocks(
    batches: Iterable[pa.RecordBatch],
    *,
    texts: Callable[[], Sequence[str]],
    directory: str,
    batch_tokens: int,
    schema: pa.Schema,
    on_rows: Callable[[int], None],
) -> Iterator[pa.RecordBatch]:
    predictor = load_task_predictor(directory, batch_tokens)
    for batch in batches:
        for block in batch.column(0).to_pylist():
            own = texts()[block * _TEXTS_PER_BLOCK : (block + 1) * _TEXTS_PER_BLOCK]
            normal = predictor.normalize(pa.array(own, pa.string())).to_pylist()
            vectors = predictor.outputs(predictor.encode(normal)).logits
            yield pa.RecordBatch.from_pydict({"block": [block], "vectors": [vectors.tolist()]}, schema=schema)
            on_rows(len(own))
