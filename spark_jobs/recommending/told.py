"""What all steps of the stage know, and the work that it gives to tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapring.errors import StageError
from mapring.plan import Plan
from mapring.progress import say
from mapring.settings.recommend import Recommend
from spark_jobs.ranking.features import TextScores
from spark_jobs.recommending.catalogue import item_text, make_catalogue, user_text
from spark_jobs.recommending.features import LAST, feature_names, past_of
from spark_jobs.recommending.reading import Read
from spark_jobs.recommending.shortlists import QUERIES_PER_BLOCK, Cascade, CascadeWork, ModelReader, over_blocks
from spark_jobs.recommending.tasks import Scene, Work, over_queries
from spark_jobs.recommending.timeline import Query
from spark_jobs.recommending.vectors import embedded
from spark_jobs.session import watch

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGE = "recommend"
_HOUR = 3600.0

Maker = Callable[[Work, int], pa.RecordBatch]
ShortlistMaker = Callable[[CascadeWork, Sequence[int]], Iterator[pa.RecordBatch]]


@dataclass
class Told:
    """What all steps of the stage know; vectors of items are computed once.

    `pair_scores` tells how answers to pairs of texts become a number, None where no model reads pairs.
    """

    spark: SparkSession
    plan: Plan
    settings: Recommend
    read: Read
    pair_scores: TextScores | None

    def __post_init__(self) -> None:
        own = self.settings
        self.names = feature_names(behaviour="behaviour" in own.evidence, text="text" in own.evidence, model=own.model)
        self.item_texts = [item_text(text, tags) for text, tags in zip(self.read.texts, self.read.tags, strict=True)]
        vectors = self._embedded(self.item_texts, "items") if own.model else None
        self.catalogue = make_catalogue(self.read.texts, self.read.tags, vectors, self.plan.settings.preprocess.words)

    @property
    def cascade(self) -> Cascade | None:
        """What tasks need to read the first items of a list; None where they are not read."""
        own = self.settings.reranker
        if own is None or self.pair_scores is None:
            return None
        reader = ModelReader(
            directory=str(self.plan.reranker_directory),
            batch_tokens=self.settings.batch_tokens,
            scores=self.pair_scores,
        )
        return Cascade(reader=reader, texts=self.item_texts, count=own.candidates)

    def scene(self, asked: Sequence[Query], *trees: str) -> Scene:
        """What tasks need for some queries."""
        own = self.settings
        return Scene(
            events=self.read.events,
            catalogue=self.catalogue,
            queries=asked,
            user_vectors=self._embedded(self._user_texts(asked), "users") if own.model else None,
            names=self.names,
            candidates=own.candidates,
            refresh=own.refresh_hours * _HOUR,
            negatives=own.negatives,
            seed=self.plan.settings.seed,
            trees=trees,
        )

    def over(self, scene: Scene, make: Maker, schema: pa.Schema, what: str) -> pa.Table:
        """What tasks make of all queries of a scene, in the driver."""
        return self._gathered(*self.frame(scene, make, schema), schema, what)

    def over_shortlists(
        self, scene: Scene, cascade: Cascade, make: ShortlistMaker, schema: pa.Schema, what: str
    ) -> pa.Table:
        """The same of all shortlists.

        Raises:
            StageError: the model fails on too many pairs.
        """
        return self._gathered(*self.shortlist_frame(scene, cascade, make, schema), schema, what)

    def frame(self, scene: Scene, make: Maker, schema: pa.Schema) -> tuple[DataFrame, Counted]:
        """What tasks make of all queries of a scene, and what will have been counted."""
        counted, sent = Counted(self.spark), self.spark.sparkContext.broadcast(scene)
        run = partial(over_queries, scene=lambda: sent.value, make=make, on_rows=counted.rows.add)
        return self._mapped(len(scene.queries), run, schema), counted

    def shortlist_frame(
        self, scene: Scene, cascade: Cascade, make: ShortlistMaker, schema: pa.Schema
    ) -> tuple[DataFrame, Counted]:
        """The same of all shortlists."""
        counted, sent = Counted(self.spark), self.spark.sparkContext.broadcast((scene, cascade))
        run = partial(
            over_blocks, given=lambda: sent.value, make=make, on_rows=counted.rows.add, on_pairs=counted.add_pairs
        )
        return self._mapped(-(-len(scene.queries) // QUERIES_PER_BLOCK), run, schema), counted

    def check_read(self, counted: Counted) -> None:
        """Tell of pairs that the model failed on.

        Raises:
            StageError: these are too many.
        """
        own, read, failed = self.settings.reranker, counted.read.value, counted.failed.value
        if own is None or not failed:
            return
        told = f"the model at {self.plan.reranker_directory} failed on {failed:,} of {read:,} pairs of texts"
        if failed > own.max_failed_share * read:
            raise StageError(
                f"{STAGE}: {told}, allowed are {own.max_failed_share:.1%} (recommend.reranker.max_failed_share); "
                "nothing was published. Check it with `mapring verify`"
            )
        say(STAGE, f"{told}; their places are decided without it")

    def _gathered(self, frame: DataFrame, counted: Counted, schema: pa.Schema, what: str) -> pa.Table:
        with watch(self.spark, STAGE, what, counted.rows):
            found: pa.Table = frame.toArrow()
        self.check_read(counted)
        return found.cast(schema)

    def _mapped(
        self, count: int, run: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]], schema: pa.Schema
    ) -> DataFrame:
        from pyspark.sql.pandas.types import from_arrow_schema

        # Slices are consecutive in time, so that what was known is shared
        slices = max(1, min(count, 4 * self.spark.sparkContext.defaultParallelism))
        return self.spark.range(0, count, 1, slices).mapInArrow(run, from_arrow_schema(schema))

    def _user_texts(self, asked: Sequence[Query]) -> list[str]:
        return [user_text(self.item_texts, past_of(self.read.events, query).liked[-LAST:].tolist()) for query in asked]

    def _embedded(self, texts: Sequence[str], what: str) -> npt.NDArray[np.float32]:
        return embedded(
            self.spark,
            texts,
            directory=self.plan.model_directory,
            batch_tokens=self.settings.batch_tokens,
            allowed_share=self.settings.max_failed_share,
            stage=STAGE,
            what=what,
        )


class Counted:
    """What tasks counted: queries, pairs of texts that a model was given, and those that it failed on."""

    def __init__(self, spark: SparkSession) -> None:
        context = spark.sparkContext
        self.rows, self.read, self.failed = (context.accumulator(0) for _ in range(3))

    def add_pairs(self, read: int, failed: int) -> None:
        """Count pairs, inside a task."""
        self.read.add(read)
        self.failed.add(failed)
