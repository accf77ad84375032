"""Vectors of texts by a model, computed in Spark's tasks and gathered in the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapring.errors import StageError
from mapring.progress import say
from spark_jobs.session import watch
from spark_jobs.task_predictor import load_task_predictor

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TEXTS_PER_BLOCK = 512  # embedded together, so that vectors do not hang on how many tasks there are


def embedded(
    spark: SparkSession,
    texts: Sequence[str],
    *,
    directory: str,
    batch_tokens: int,
    allowed_share: float,
    stage: str,
    what: str,
) -> npt.NDArray[np.float32]:
    """Vectors of texts by a model, (len(texts), width), of length 1; 0 of texts that it fails on.

    Args:
        spark: the session.
        texts: to embed.
        directory: where the model is published.
        batch_tokens: tokens of one padded batch.
        allowed_share: of texts that the model may fail on.
        stage: that tells how far it is.
        what: the texts are, in words.

    Raises:
        StageError: the model fails on more.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    context = spark.sparkContext
    counted, failed, sent = context.accumulator(0), context.accumulator(0), context.broadcast(list(texts))
    blocks = -(-len(texts) // _TEXTS_PER_BLOCK)
    schema = pa.schema([pa.field("block", pa.int64()), pa.field("vectors", pa.list_(pa.list_(pa.float32())))])
    run = partial(
        _embed_blocks,
        texts=lambda: sent.value,
        directory=directory,
        batch_tokens=batch_tokens,
        schema=schema,
        on_rows=counted.add,
        on_failed=failed.add,
    )
    frame = spark.range(0, blocks, 1, blocks).mapInArrow(run, from_arrow_schema(schema))
    with watch(spark, stage, f"embed {len(texts):,} texts of {what}", counted):
        rows = sorted((row["block"], row["vectors"]) for row in frame.collect())
    if failed.value:
        told = f"the model at {directory} failed on {failed.value:,} of {len(texts):,} texts of {what}"
        if failed.value > allowed_share * len(texts):
            raise StageError(
                f"{stage}: {told}, allowed are {allowed_share:.1%} (recommend.max_failed_share); nothing was "
                "published. Check it with `mapring verify`"
            )
        say(stage, f"{told}; they are like no other")
    return np.concatenate([np.asarray(vectors, np.float32) for _, vectors in rows])


def _embed_blocks(
    batches: Iterable[pa.RecordBatch],
    *,
    texts: Callable[[], Sequence[str]],
    directory: str,
    batch_tokens: int,
    schema: pa.Schema,
    on_rows: Callable[[int], None],
    on_failed: Callable[[int], None],
) -> Iterator[pa.RecordBatch]:
    predictor = load_task_predictor(directory, batch_tokens)
    for batch in batches:
        for block in batch.column(0).to_pylist():
            own = texts()[block * _TEXTS_PER_BLOCK : (block + 1) * _TEXTS_PER_BLOCK]
            normal = predictor.normalize(pa.array(own, pa.string())).to_pylist()
            outcome = predictor.outputs(predictor.encode(normal))
            yield pa.RecordBatch.from_pydict({"block": [block], "vectors": [outcome.logits.tolist()]}, schema=schema)
            on_rows(len(own))
            on_failed(len(outcome.failures))
