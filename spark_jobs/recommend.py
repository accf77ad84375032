"""Items that users will like, by what was before: `spark-submit spark_jobs/recommend.py --config C [KEY=VALUE ...]`."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from mapring import contract
from mapring.contract import FileEntry, Manifest, is_published
from mapring.contract.schemas import RECOMMENDED
from mapring.errors import InputError, StageError
from mapring.plan import Plan
from mapring.progress import say
from mapring.settings.base import output_settings
from mapring.settings.recommend import Recommend
from spark_jobs.arguments import leave, run_main
from spark_jobs.backends.published import link_to
from spark_jobs.fitting import start_fitted_session
from spark_jobs.published_model import read_published_model
from spark_jobs.ranking.published import open_trees, publish_ranker, rows_of
from spark_jobs.ranking.trees import TrainingRows, fit, is_held_out
from spark_jobs.recommending.baselines import FAMILIES, family
from spark_jobs.recommending.catalogue import item_text, make_catalogue, user_text
from spark_jobs.recommending.features import LAST, feature_names, past_of
from spark_jobs.recommending.reading import Read, read_all
from spark_jobs.recommending.tasks import (
    JUDGED,
    LEARNED,
    LISTED,
    OURS,
    GivenLists,
    Scene,
    Work,
    judged_lists,
    learned_rows,
    means,
    over_queries,
)
from spark_jobs.recommending.timeline import Query, moments, now, queries
from spark_jobs.session import watch
from spark_jobs.tables import Built, WrittenFile, parquet_bytes, write_groups
from spark_jobs.task_predictor import load_task_predictor
from spark_jobs.unchanged import check_unchanged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGE = "recommend"
_GOLDEN = 32
_ROWS_PER_FILE = 16_384
_USERS_PER_FILE = 8192
_TEXTS_PER_BLOCK = 512  # embedded together, so that vectors do not hang on how many tasks there are
_TUNED_ON = 150  # moments on which the form of each baseline is chosen
_HOUR = 3600.0


def recommend(plan: Plan) -> None:
    """Learn an order of items from the past, hold it against baselines, and publish it and each user's list.

    Raises:
        SettingsError: the pipeline recommends nothing.
        InputError: interactions or items that nothing can be learned from.
        StageError: the model is not there, or is not one of texts.
    """
    settings = plan.recommending
    if is_published(plan.recommendations_directory):
        say(STAGE, f"skipped: recommendations {plan.recommendations} are already published")
        return
    _check_model(plan, settings)
    sources = (*plan.interaction_sources, *plan.item_sources)
    inputs = (settings.interactions.as_input, settings.items.as_input)
    spark = start_fitted_session(STAGE, plan.settings, inputs, sources)
    read = read_all(spark, plan, settings, STAGE)
    told = _Told(spark, plan, settings, read)
    if not is_published(plan.recommender_directory):
        _learn(told)
    files = _lists(told)
    check_unchanged(sources)
    contract.publish(plan.recommendations_directory, _manifest(plan, settings, read, files))
    rows = sum(file.entry.rows or 0 for file in files)
    say(STAGE, f"published recommendations {plan.recommendations}: {rows:,} items for {len(read.users):,} users")


def _check_model(plan: Plan, settings: Recommend) -> None:
    if not settings.model:
        return
    if not is_published(plan.model_directory):
        raise StageError(
            f"{plan.config}: found no model at {plan.model_directory}; run `mapring train {plan.config}` first, with "
            "the same settings, or set recommend.model=false"
        )
    task = read_published_model(plan.model_directory).task
    if task != "embed":
        raise StageError(
            f"{plan.model_directory}: found a model of task {task}, expected one of task embed, which tells how near "
            "texts are; train one, or set recommend.model=false"
        )


@dataclass
class _Told:
    """What all steps of the stage know; vectors of items are computed once."""

    spark: SparkSession
    plan: Plan
    settings: Recommend
    read: Read

    def __post_init__(self) -> None:
        own = self.settings
        self.names = feature_names(behaviour="behaviour" in own.evidence, text="text" in own.evidence, model=own.model)
        self.item_texts = [item_text(text, tags) for text, tags in zip(self.read.texts, self.read.tags, strict=True)]
        vectors = _embedded(self, self.item_texts, "items") if own.model else None
        self.catalogue = make_catalogue(self.read.texts, self.read.tags, vectors, self.plan.settings.preprocess.words)

    def scene(self, asked: Sequence[Query], trees: str | None = None) -> Scene:
        """What tasks need for some queries."""
        own = self.settings
        return Scene(
            events=self.read.events,
            catalogue=self.catalogue,
            queries=asked,
            user_vectors=_embedded(self, self._user_texts(asked), "users") if own.model else None,
            names=self.names,
            candidates=own.candidates,
            refresh=own.refresh_hours * _HOUR,
            negatives=own.negatives,
            seed=self.plan.settings.seed,
            trees=trees,
        )

    def _user_texts(self, asked: Sequence[Query]) -> list[str]:
        return [user_text(self.item_texts, past_of(self.read.events, query).liked[-LAST:].tolist()) for query in asked]


def _learn(told: _Told) -> None:
    """Fit trees to the ranker's part of the time line, judge them on the test's, and publish them."""
    plan, settings, events = told.plan, told.settings, told.read.events
    shares = (settings.model_share, 1 - settings.model_share - settings.test_share)
    bounds = moments(events, shares)
    taught, tested = queries(events, "ranker", bounds), queries(events, "test", bounds)
    if not taught or not tested:
        raise InputError(
            f"{plan.config}: recommend.interactions: found {len(taught)} moments to learn from and {len(tested)} to "
            "test on, expected some of both; change recommend.model_share and recommend.test_share, or add interactions"
        )
    taught = _chosen(taught, settings.most_moments, plan.settings.seed)
    held = [is_held_out(told.read.users[query.user], settings.trees.held_out, plan.settings.seed) for query in taught]
    scene = replace(told.scene(taught), whole=frozenset(np.flatnonzero(held).tolist()))
    table = _over(told, scene, learned_rows, LEARNED, f"rows of {len(taught):,} moments")
    table = table.sort_by([("query", "ascending"), ("item", "ascending")])
    of_query = table.column("query").to_numpy()
    rows = TrainingRows(
        seen=rows_of(table, "seen"),
        labels=table.column("label").to_numpy(),
        groups=[f"{number:08d}" for number in of_query.tolist()],
        held_out=np.array(held)[of_query],
    )
    say(STAGE, f"fitting to {len(table):,} rows of {len(taught):,} moments, {rows.labels.sum():,.0f} likes")
    fitted = fit(rows, settings.trees, "lambdarank", plan.settings.seed, "recommend.trees")
    evaluation = {
        "rows": len(table),
        "moments": len(taught),
        "trees": fitted.trees,
        "held_out_ndcg_at_10": fitted.value,
        "gain_share": dict(zip(told.names, fitted.importance, strict=True)),
        "bounds": {"ranker_from": bounds[0], "test_from": bounds[1]},
        **_judged(told, scene, told.scene(tested, fitted.text)),
    }
    check_unchanged((*plan.interaction_sources, *plan.item_sources))
    publish_ranker(
        plan.recommender_directory,
        fingerprint=str(plan.recommender),
        trees=fitted.text,
        golden=rows.seen[np.unique(np.linspace(0, len(table) - 1, _GOLDEN).astype(np.int64))],
        rows=list(_row_files(plan.recommender_directory, table)),
        evaluation=evaluation,
        settings=output_settings(settings),
        inputs=_links(plan, settings),
        details={"features": list(told.names), "lightgbm": importlib.metadata.version("lightgbm")},
    )
    _tell(plan, evaluation)


def _chosen(found: Sequence[Query], most: int, seed: int) -> list[Query]:
    """At most so many queries, in their order; a draw, where there are more."""
    if len(found) <= most:
        return list(found)
    places = np.sort(np.random.default_rng(seed).permutation(len(found))[:most])
    return [found[place] for place in places.tolist()]


def _judged(told: _Told, learned: Scene, tested: Scene) -> dict[str, Any]:
    """Figures on the test's part of the time line, of ours and of each baseline in the form that was best before it."""
    items = told.read.events.items
    places = np.unique(np.linspace(0, len(learned.queries) - 1, _TUNED_ON).astype(np.int64)).tolist()
    tuning = replace(learned, queries=[learned.queries[place] for place in places], user_vectors=None)
    with_forms = _over(told, tuning, judged_lists, JUDGED, f"baselines on {len(places):,} moments")
    before = means(with_forms, items)
    chosen = {
        name: max((form for form in before if family(form) == name), key=lambda form: before[form]["ndcg_at_10"])
        for name in FAMILIES
    }
    tested = replace(tested, forms=frozenset(chosen.values()))
    rows = _over(told, tested, judged_lists, JUDGED, f"test on {len(tested.queries):,} moments")
    rows = rows.sort_by([("query", "ascending"), ("form", "ascending")])
    found = means(rows, items)
    gains = {
        form: rows.filter(pc.equal(rows.column("form"), form)).column("gain").to_pylist()
        for form in (OURS, *chosen.values())
    }
    return {
        "test": {"moments": len(tested.queries), "items": items, **found[OURS]},
        "baselines": {name: {"form": form, **found[form]} for name, form in chosen.items()},
        "gains": gains,  # of each test moment, in one order
    }


def _lists(told: _Told) -> list[WrittenFile]:
    """Each user's list after all interactions, written by tasks."""
    plan, read = told.plan, told.read
    manifest = contract.read_manifest(plan.recommender_directory)
    trees = open_trees(plan.recommender_directory, manifest, "mapring recommend")
    # All lists are of one moment, so nothing is saved by knowing less than all that is before it
    scene = replace(told.scene(now(read.events), trees.text), refresh=0.0)
    listed = _frame(told, scene, GivenLists(told.settings.top_k), LISTED)
    names = told.spark.sparkContext.broadcast((read.users, read.items, read.texts))
    files = -(-len(read.users) // _USERS_PER_FILE)
    placed = (
        listed[0]
        .withColumn("number", F.floor(F.col("query") / _USERS_PER_FILE).cast("int"))
        .withColumn("file_group", F.format_string("lists-%05d", "number"))
        .repartitionById(files, "number")
        .drop("number")
        .sortWithinPartitions("file_group", "query", "rank")
    )
    model = plan.model if told.settings.model else None
    build = partial(_named, names=lambda: names.value, ranker=str(plan.recommender), model=model)
    with watch(told.spark, STAGE, f"lists of {len(read.users):,} users", listed[1]):
        return write_groups(
            placed,
            build,
            directory=plan.recommendations_directory,
            folder="data",
            rows_per_row_group=_ROWS_PER_FILE,
        )


def _named(
    table: pa.Table,
    *,
    names: Callable[[], tuple[Sequence[str], Sequence[str], Sequence[str]]],
    ranker: str,
    model: str | None,
) -> Built:
    users, items, texts = names()
    count = len(table)
    who, what = table.column("query").to_pylist(), table.column("item").to_pylist()
    columns = {
        "user": [users[number] for number in who],
        "rank": table.column("rank"),
        "item": [items[number] for number in what],
        "text": [texts[number] for number in what],
        "interest": table.column("interest"),
        "model_fingerprint": pa.array([model] * count, pa.string()),
        "ranker_fingerprint": [ranker] * count,
    }
    return Built(pa.table(columns, schema=RECOMMENDED), {"users": len(set(who))})


def _over(
    told: _Told, scene: Scene, make: Callable[[Work, int], pa.RecordBatch], schema: pa.Schema, what: str
) -> pa.Table:
    """What tasks make of all queries of a scene, in the driver."""
    frame, counted = _frame(told, scene, make, schema)
    with watch(told.spark, STAGE, what, counted):
        found: pa.Table = frame.toArrow()
    return found.cast(schema)


def _frame(
    told: _Told, scene: Scene, make: Callable[[Work, int], pa.RecordBatch], schema: pa.Schema
) -> tuple[DataFrame, Any]:
    from pyspark.sql.pandas.types import from_arrow_schema

    context = told.spark.sparkContext
    counted, sent = context.accumulator(0), context.broadcast(scene)
    count = len(scene.queries)
    slices = max(1, min(count, 4 * context.defaultParallelism))  # consecutive in time, so that what was known is shared
    run = partial(over_queries, scene=lambda: sent.value, make=make, on_rows=counted.add)
    return told.spark.range(0, count, 1, slices).mapInArrow(run, from_arrow_schema(schema)), counted


def _embedded(told: _Told, texts: Sequence[str], what: str) -> npt.NDArray[np.float32]:
    """Vectors of texts by the model, (len(texts), width), of length 1; 0 of texts that it fails on."""
    from pyspark.sql.pandas.types import from_arrow_schema

    context = told.spark.sparkContext
    counted, sent = context.accumulator(0), context.broadcast(list(texts))
    blocks = -(-len(texts) // _TEXTS_PER_BLOCK)
    schema = pa.schema([pa.field("block", pa.int64()), pa.field("vectors", pa.list_(pa.list_(pa.float32())))])
    run = partial(
        _embed_blocks,
        texts=lambda: sent.value,
        directory=told.plan.model_directory,
        batch_tokens=told.settings.batch_tokens,
        schema=schema,
        on_rows=counted.add,
    )
    frame = told.spark.range(0, blocks, 1, blocks).mapInArrow(run, from_arrow_schema(schema))
    with watch(told.spark, STAGE, f"embed {len(texts):,} texts of {what}", counted):
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


def _row_files(directory: str, table: pa.Table) -> Iterator[FileEntry]:
    for start in range(0, len(table), _ROWS_PER_FILE):
        part = table.slice(start, _ROWS_PER_FILE)
        content = parquet_bytes(part, _ROWS_PER_FILE)
        name = contract.content_name(f"rows-{start // _ROWS_PER_FILE:05d}", content, ".parquet")
        yield contract.write_file(directory, f"rows/{name}", content, len(part))


def _links(plan: Plan, settings: Recommend) -> list[Mapping[str, Any]]:
    model = [link_to("model", plan.model_directory, plan.model)] if settings.model else []
    return [*model, *(file.to_json() for file in (*plan.interaction_sources, *plan.item_sources))]


def _manifest(plan: Plan, settings: Recommend, read: Read, files: Sequence[WrittenFile]) -> Manifest:
    return Manifest(
        kind="recommendations",
        fingerprint=str(plan.recommendations),
        created=contract.utc_now(),
        code_version=contract.code_version(),
        settings=output_settings(settings),
        inputs=(
            link_to("ranker", plan.recommender_directory, str(plan.recommender)),
            *_links(plan, settings),
        ),
        files=tuple(file.entry for file in files),
        details={
            "columns": RECOMMENDED.names,
            "counts": {
                "users": len(read.users),
                "items": len(read.items),
                "interactions": len(read.events.time),
                "left_out": read.left_out,
            },
        },
    )


def _tell(plan: Plan, evaluation: Mapping[str, Any]) -> None:
    own, others = evaluation["test"], evaluation["baselines"]
    beside = ", ".join(f"{name} {found['ndcg_at_10']:.4f}" for name, found in others.items())
    told = (
        f"published ranker {plan.recommender}: {evaluation['trees']:,} trees; on {own['moments']:,} test moments "
        f"NDCG@10 {own['ndcg_at_10']:.4f} ({beside}), HR@10 {own['hr_at_10']:.4f}, coverage {own['coverage']:.1%}"
    )
    if own["ndcg_at_10"] <= max(found["ndcg_at_10"] for found in others.values()):
        told += ": it is no better than the best baseline; use that one"
    say(STAGE, told)


if __name__ == "__main__":
    leave(run_main(recommend, sys.argv[1:]))
