"""Items that users will like, by what was before: `spark-submit spark_jobs/recommend.py --config C [KEY=VALUE ...]`."""

from __future__ import annotations

import importlib.metadata
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from mapring.progress import say, seconds_text
from mapring.settings.base import output_settings
from mapring.settings.recommend import Recommend
from spark_jobs.arguments import leave, run_main
from spark_jobs.backends.published import link_to
from spark_jobs.fitting import start_fitted_session
from spark_jobs.published_model import read_published_model
from spark_jobs.ranking.published import OtherTrees, open_trees, publish_ranker
from spark_jobs.ranking.trees import Fitted, TrainingRows, fit, is_held_out
from spark_jobs.recommending.baselines import FAMILIES, family
from spark_jobs.recommending.cascade import SecondTrees, fit_for_folds, fit_second, fold_of, training_rows
from spark_jobs.recommending.reading import Read, read_all
from spark_jobs.recommending.reranker import check_taught_before, reranker_scores
from spark_jobs.recommending.shortlists import (
    BEFORE,
    FEATURES,
    WITHOUT_MODEL,
    Cascade,
    GivenShortlists,
    judged_shortlists,
    learned_shortlists,
)
from spark_jobs.recommending.tasks import (
    JUDGED,
    LEARNED,
    LISTED,
    OURS,
    GivenLists,
    Scene,
    judged_lists,
    learned_rows,
    means,
)
from spark_jobs.recommending.timeline import Query, moments, now, queries
from spark_jobs.recommending.told import STAGE, Counted, Told
from spark_jobs.session import watch
from spark_jobs.tables import Built, WrittenFile, parquet_bytes, spread_to_files, write_files
from spark_jobs.unchanged import check_unchanged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_GOLDEN = 32
_ROWS_PER_FILE = 16_384
_USERS_PER_FILE = 8192
_TUNED_ON = 150  # moments on which the form of each baseline is chosen


def recommend(plan: Plan) -> None:
    """Learn an order of items from the past, hold it against baselines, and publish it and each user's list.

    Raises:
        SettingsError: the pipeline recommends nothing.
        InputError: interactions or items that nothing can be learned from.
        StageError: a model is not there, is not one of texts, or fails on too many.
    """
    settings = plan.recommending
    if is_published(plan.recommendations_directory):
        say(STAGE, f"skipped: recommendations {plan.recommendations} are already published")
        return
    _check_model(plan, settings)
    pair_scores = None if settings.reranker is None else reranker_scores(plan, settings.reranker)
    sources = (*plan.interaction_sources, *plan.item_sources)
    inputs = (settings.interactions.as_input, settings.items.as_input)
    spark = start_fitted_session(STAGE, plan.settings, inputs, sources)
    read = read_all(spark, plan, settings, STAGE)
    told = Told(spark, plan, settings, read, pair_scores)
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


def _learn(told: Told) -> None:
    """Fit trees to the ranker's part of the time line, judge them on the test's, and publish them."""
    plan, settings, events = told.plan, told.settings, told.read.events
    shares = (settings.model_share, 1 - settings.model_share - settings.test_share)
    bounds = moments(events, shares)
    if told.cascade is not None:
        check_taught_before(plan, bounds[0], STAGE)
    taught, tested = queries(events, "ranker", bounds), queries(events, "test", bounds)
    if not taught or not tested:
        raise InputError(
            f"{plan.config}: recommend.interactions: found {len(taught)} moments to learn from and {len(tested)} to "
            "test on, expected some of both; change recommend.model_share and recommend.test_share, or add interactions"
        )
    taught = _chosen(taught, settings.most_moments, plan.settings.seed)
    seed = plan.settings.seed
    held = np.array([is_held_out(told.read.users[query.user], settings.trees.held_out, seed) for query in taught])
    scene = replace(told.scene(taught), whole=frozenset(np.flatnonzero(held).tolist()))
    table = told.over(scene, learned_rows, LEARNED, f"rows of {len(taught):,} moments")
    table = table.sort_by([("query", "ascending"), ("item", "ascending")])
    rows = training_rows(table, held)
    say(STAGE, f"fitting to {len(table):,} rows of {len(taught):,} moments, {rows.labels.sum():,.0f} likes")
    fitted = fit(rows, settings.trees, "lambdarank", seed, "recommend.trees")
    second = None if told.cascade is None else _learn_second(told, told.cascade, scene, rows, fitted)
    evaluation = {
        "rows": len(table),
        "moments": len(taught),
        "trees": fitted.trees,
        "held_out_ndcg_at_10": fitted.value,
        "gain_share": dict(zip(told.names, fitted.importance, strict=True)),
        "bounds": {"ranker_from": bounds[0], "test_from": bounds[1]},
        **({} if second is None else {"reranking": second.trees.evaluation}),
        **_judged(told, scene, told.scene(tested, fitted.text), None if second is None else second.cascade),
    }
    check_unchanged((*plan.interaction_sources, *plan.item_sources))
    publish_ranker(
        plan.recommender_directory,
        fingerprint=str(plan.recommender),
        trees=fitted.text,
        golden=rows.seen[_golden_places(len(table))],
        rows=list(_row_files(plan.recommender_directory, "rows", table)),
        evaluation=evaluation,
        settings=output_settings(settings),
        inputs=_links(plan, settings),
        details={
            "features": list(told.names),
            "lightgbm": importlib.metadata.version("lightgbm"),
            **({} if second is None else {"reranking_seconds": second.seconds}),
        },
        others={} if second is None else {"reranked": _as_published(told, second)},
    )
    _tell(plan, evaluation)


@dataclass(frozen=True)
class _Second:
    """Trees of the last order, the shortlists that they learned from, and the cascade that they end."""

    trees: SecondTrees
    table: pa.Table
    cascade: Cascade
    seconds: float


def _learn_second(told: Told, cascade: Cascade, scene: Scene, rows: TrainingRows, fitted: Fitted) -> _Second:
    """Have the model read what the first trees put first, and fit trees for the order of that."""
    seed, started = told.plan.settings.seed, time.monotonic()
    folds = np.array([fold_of(told.read.users[query.user], seed) for query in scene.queries])
    held = np.array([place in scene.whole for place in range(len(scene.queries))])
    of_row = np.array(rows.groups, np.int64)
    trees = (fitted.text, *fit_for_folds(rows, folds[of_row], told.settings.trees, seed))
    chosen = tuple(np.where(held, 0, 1 + folds).tolist())  # no trees order what they learned from
    ordered = replace(scene, trees=trees, trees_of=chosen)
    table = told.over_shortlists(ordered, cascade, learned_shortlists, LEARNED, "shortlists to learn from")
    table = table.sort_by([("query", "ascending"), ("item", "ascending")])
    second = fit_second(table, held, (*told.names, *FEATURES), told.settings.trees, seed)
    seconds, likes = time.monotonic() - started, second.evaluation["likes"]
    told_rows = f"{len(table):,} pairs of texts, {likes:,} likes"
    say(STAGE, f"fitted an order of shortlists to {told_rows}, in {seconds_text(seconds)}")
    return _Second(second, table, replace(cascade, trees=second.trees, plain=second.plain), seconds)


def _as_published(told: Told, second: _Second) -> OtherTrees:
    return OtherTrees(
        trees=second.trees.trees,
        golden=second.trees.seen[_golden_places(len(second.table))],
        rows=tuple(_row_files(told.plan.recommender_directory, "shortlists", second.table)),
    )


def _golden_places(rows: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, rows - 1, _GOLDEN).astype(np.int64))


def _chosen(found: Sequence[Query], most: int, seed: int) -> list[Query]:
    """At most so many queries, in their order; a draw, where there are more."""
    if len(found) <= most:
        return list(found)
    places = np.sort(np.random.default_rng(seed).permutation(len(found))[:most])
    return [found[place] for place in places.tolist()]


def _judged(told: Told, learned: Scene, tested: Scene, cascade: Cascade | None) -> dict[str, Any]:
    """Figures on the test's part of the time line, of ours and of each baseline in the form that was best before it.

    With a cascade also those of the first order, and of one that does not see what the model says.
    """
    items = told.read.events.items
    places = np.unique(np.linspace(0, len(learned.queries) - 1, _TUNED_ON).astype(np.int64)).tolist()
    tuning = replace(learned, queries=[learned.queries[place] for place in places], user_vectors=None)
    with_forms = told.over(tuning, judged_lists, JUDGED, f"baselines on {len(places):,} moments")
    before = means(with_forms, items)
    chosen = {
        name: max((form for form in before if family(form) == name), key=lambda form: before[form]["ndcg_at_10"])
        for name in FAMILIES
    }
    tested = replace(tested, forms=frozenset(chosen.values()))
    what = f"test on {len(tested.queries):,} moments"
    if cascade is None:
        rows = told.over(tested, judged_lists, JUDGED, what)
    else:
        rows = told.over_shortlists(tested, cascade, judged_shortlists, JUDGED, what)
    rows = rows.sort_by([("query", "ascending"), ("form", "ascending")])
    found = means(rows, items)
    others = () if cascade is None else (BEFORE, WITHOUT_MODEL)
    gains = {
        form: rows.filter(pc.equal(rows.column("form"), form)).column("gain").to_pylist()
        for form in (OURS, *others, *chosen.values())
    }
    return {
        "test": {"moments": len(tested.queries), "items": items, **found[OURS]},
        **{f"test_{form}": found[form] for form in others},
        "baselines": {name: {"form": form, **found[form]} for name, form in chosen.items()},
        "gains": gains,  # of each test moment, in one order
    }


def _lists(told: Told) -> list[WrittenFile]:
    """Each user's list after all interactions, written by tasks."""
    plan, read = told.plan, told.read
    manifest = contract.read_manifest(plan.recommender_directory)
    trees = open_trees(plan.recommender_directory, manifest, "mapring recommend")
    # All lists are of one moment, so nothing is saved by knowing less than all that is before it
    scene = replace(told.scene(now(read.events), trees.text), refresh=0.0)
    listed, counted = _given(told, manifest, scene)
    names = told.spark.sparkContext.broadcast((read.users, read.items, read.texts))
    files = -(-len(read.users) // _USERS_PER_FILE)
    placed = spread_to_files(listed, F.floor(F.col("query") / _USERS_PER_FILE), files, "query", "rank")
    model = plan.model if told.settings.model else None
    build = partial(_named, names=lambda: names.value, ranker=str(plan.recommender), model=model)
    with watch(told.spark, STAGE, f"lists of {len(read.users):,} users", counted.rows):
        written = write_files(
            placed,
            build,
            name="lists-{:05d}".format,
            directory=plan.recommendations_directory,
            folder="data",
            rows_per_row_group=_ROWS_PER_FILE,
        )
    told.check_read(counted)
    return written


def _given(told: Told, manifest: Manifest, scene: Scene) -> tuple[DataFrame, Counted]:
    """Rows of LISTED of all users."""
    cascade, count = told.cascade, told.settings.top_k
    if cascade is None:
        return told.frame(scene, GivenLists(count), LISTED)
    second = open_trees(told.plan.recommender_directory, manifest, "mapring recommend", "reranked")
    return told.shortlist_frame(scene, replace(cascade, trees=second.text), GivenShortlists(count), LISTED)


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


def _row_files(directory: str, stem: str, table: pa.Table) -> Iterator[FileEntry]:
    for start in range(0, len(table), _ROWS_PER_FILE):
        part = table.slice(start, _ROWS_PER_FILE)
        content = parquet_bytes(part, _ROWS_PER_FILE)
        name = contract.content_name(f"{stem}-{start // _ROWS_PER_FILE:05d}", content, ".parquet")
        yield contract.write_file(directory, f"rows/{name}", content, len(part))


def _links(plan: Plan, settings: Recommend) -> list[Mapping[str, Any]]:
    model = [link_to("model", plan.model_directory, plan.model)] if settings.model else []
    return [
        *model,
        *_reranker_link(plan),
        *(file.to_json() for file in (*plan.interaction_sources, *plan.item_sources)),
    ]


def _reranker_link(plan: Plan) -> list[Mapping[str, Any]]:
    """The model that reads pairs; the place of one in another run directory is told, too."""
    directory = plan.reranker_directory
    if directory is None:
        return []
    link = link_to("reranker", directory, contract.read_manifest(directory).fingerprint)
    return [link if plan.named_reranker is None else {**link, "path": directory}]


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
    if "reranking" in evaluation:
        _tell_reranking(evaluation)


def _tell_reranking(evaluation: Mapping[str, Any]) -> None:
    last, first, plain = (
        evaluation[name]["ndcg_at_10"] for name in ("test", f"test_{BEFORE}", f"test_{WITHOUT_MODEL}")
    )
    told = (
        f"re-ranking: NDCG@10 {first:.4f} before it, {last:.4f} behind it, {plain:.4f} by the same trees without what "
        "the model says"
    )
    if last <= max(first, plain):
        told += ": the model does not help here; remove recommend.reranker"
    say(STAGE, told)


if __name__ == "__main__":
    leave(run_main(recommend, sys.argv[1:]))
