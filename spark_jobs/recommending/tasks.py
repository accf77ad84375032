"""What Spark's tasks do for a slice of the queries: rows to learn from, lists that are judged, lists that are given.

A query is computed whole in one task and hangs on nothing but itself, so what comes out is the same, however they are
cut into slices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from spark_jobs.ranking.published import lists_of
from spark_jobs.ranking.trees import Trees
from spark_jobs.recommending.baselines import baseline_scores
from spark_jobs.recommending.catalogue import Catalogue
from spark_jobs.recommending.events import Events, Floats, Ints, Known
from spark_jobs.recommending.features import Past, candidates, item_features, past_of
from spark_jobs.recommending.figures import CUTOFF, coverage, gain, hit, top_items
from spark_jobs.recommending.negatives import sample_negatives
from spark_jobs.recommending.timeline import Query, known_at, relevance

OURS = "ours"

LEARNED = pa.schema(
    [
        pa.field("query", pa.int64(), nullable=False),
        pa.field("item", pa.int64(), nullable=False),
        pa.field("label", pa.float64(), nullable=False),
        pa.field("seen", pa.list_(pa.float64()), nullable=False),  # what the ranker sees, null where it is not known
    ]
)
JUDGED = pa.schema(
    [
        pa.field("query", pa.int64(), nullable=False),
        pa.field("form", pa.string(), nullable=False),  # OURS, or of a baseline
        pa.field("hit", pa.float64(), nullable=False),
        pa.field("gain", pa.float64(), nullable=False),
        pa.field("items", pa.list_(pa.int64()), nullable=False),
    ]
)
LISTED = pa.schema(
    [
        pa.field("query", pa.int64(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("item", pa.int64(), nullable=False),
        pa.field("interest", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that tasks need; sent to each of them once.

    `user_vectors` has the vector of each query's user text, (queries, width), None without a model. `trees` are none
    before they are fitted; `trees_of` tells which of them order each query, the first where it is None. `whole` are
    places of queries of which no candidate is left out. `forms` are the baselines that are asked for, all where it is
    None.
    """

    events: Events
    catalogue: Catalogue
    queries: Sequence[Query]
    user_vectors: npt.NDArray[np.float32] | None
    names: tuple[str, ...]
    candidates: int
    refresh: float
    negatives: int
    seed: int
    trees: tuple[str, ...] = ()
    trees_of: tuple[int, ...] | None = None
    whole: frozenset[int] = frozenset()
    forms: frozenset[str] | None = None


@dataclass(frozen=True)
class Seen:
    """One query's past, what was known then, and the candidates (C,) with what a ranker sees of each, (C, F)."""

    past: Past
    known: Known
    items: Ints
    rows: Floats


class Work:
    """A scene in a task. What was known at a moment is kept for the next query, as these come in the order of time."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._known: Known | None = None
        self._trees = [Trees(text) for text in scene.trees]

    def seen(self, place: int) -> Seen:
        """What a ranker sees of a query's candidates."""
        scene = self.scene
        query = scene.queries[place]
        past, known = past_of(scene.events, query), self.known(query.moment)
        vector = None if scene.user_vectors is None else np.asarray(scene.user_vectors[place], np.float64)
        features = item_features(past, known, scene.catalogue, vector, query.moment)
        items = candidates(features, scene.names, past.seen, scene.candidates)
        return Seen(past, known, items, np.stack([features[name][items] for name in scene.names], axis=1))

    def known(self, moment: float) -> Known:
        """What was known of all users at the moment of a query."""
        moment = known_at(moment, self.scene.refresh)
        if self._known is None or self._known.moment != moment:
            self._known = Known(self.scene.events, moment)
        return self._known

    def scores(self, place: int, seen: Seen) -> Floats:
        """What a query's trees make of each candidate, (C,)."""
        chosen = 0 if self.scene.trees_of is None else self.scene.trees_of[place]
        return self._trees[chosen](seen.rows)


def learned_rows(work: Work, place: int) -> pa.RecordBatch:
    """Liked candidates of a query and negatives of them; of `whole` ones all candidates."""
    scene, seen = work.scene, work.seen(place)
    labels = relevance(scene.queries[place], seen.items)
    kept = np.arange(len(seen.items))
    if place not in scene.whole:
        query = scene.queries[place]
        seed = (scene.seed, query.user, len(seen.past.seen))  # another one for each query of a user
        drawn = sample_negatives(labels == 0, seen.known.count[seen.items], scene.negatives, seed)
        kept = np.union1d(np.flatnonzero(labels), drawn)
    rows = lists_of(seen.rows[kept])
    return pa.RecordBatch.from_pydict(
        {"query": [place] * len(kept), "item": seen.items[kept], "label": labels[kept], "seen": rows}, schema=LEARNED
    )


def judged_lists(work: Work, place: int) -> pa.RecordBatch:
    """The first ten items by each baseline, and by the trees where they are there, held against what was liked."""
    ours = {OURS: _listed(work, place, CUTOFF)[0]} if work.scene.trees else {}
    return judged(work, place, {**baseline_lists(work, place), **ours})


def baseline_lists(work: Work, place: int) -> dict[str, Ints]:
    """The first ten items of a query by each form of the baselines that is asked for."""
    scene = work.scene
    query = scene.queries[place]
    past, known = past_of(scene.events, query), work.known(query.moment)
    scores = baseline_scores(past, known, scene.catalogue, scene.forms)
    return {form: top_items(found, past.seen, CUTOFF) for form, found in scores.items()}


def judged(work: Work, place: int, lists: Mapping[str, Ints]) -> pa.RecordBatch:
    """Rows of JUDGED: the lists of a query, by their forms, held against what was liked."""
    query = work.scene.queries[place]
    return pa.RecordBatch.from_pydict(
        {
            "query": [place] * len(lists),
            "form": list(lists),
            "hit": [hit(items, query.liked) for items in lists.values()],
            "gain": [gain(items, query.liked) for items in lists.values()],
            "items": list(lists.values()),
        },
        schema=JUDGED,
    )


class GivenLists:
    """The first items of each query's user, with the interest that the trees see in them."""

    def __init__(self, top_k: int) -> None:
        self.top_k = top_k

    def __call__(self, work: Work, place: int) -> pa.RecordBatch:
        """Rows of LISTED."""
        return listed(place, *_listed(work, place, self.top_k))


def listed(place: int, items: Ints, interest: Floats) -> pa.RecordBatch:
    """Rows of LISTED: the items of a query, the first one first, with the interest in each."""
    ranks = np.arange(1, len(items) + 1, dtype=np.int32)
    return pa.RecordBatch.from_pydict(
        {"query": [place] * len(items), "rank": ranks, "item": items, "interest": interest}, schema=LISTED
    )


def _listed(work: Work, place: int, count: int) -> tuple[Ints, Floats]:
    seen = work.seen(place)
    scores = np.full(work.scene.events.items, -np.inf)
    scores[seen.items] = work.scores(place, seen)
    items = top_items(scores, seen.past.seen, count)
    return items, scores[items]


def over_queries(
    batches: Iterable[pa.RecordBatch],
    *,
    scene: Callable[[], Scene],
    make: Callable[[Work, int], pa.RecordBatch],
    on_rows: Callable[[int], None],
) -> Iterator[pa.RecordBatch]:
    """What is made of each query of a slice, whose places come in the first column; runs inside tasks."""
    work: Work | None = None
    for batch in batches:
        for place in batch.column(0).to_pylist():
            work = work or Work(scene())
            yield make(work, place)
            on_rows(1)


def means(rows: pa.Table, items: int) -> Mapping[str, dict[str, Any]]:
    """HR@10, NDCG@10 and coverage of each form over rows of JUDGED, which are sorted by query."""
    found = {}
    for form in sorted(set(rows.column("form").to_pylist())):
        own = rows.filter(pc.equal(rows.column("form"), form))
        found[form] = {
            "hr_at_10": float(own.column("hit").to_numpy().mean()),
            "ndcg_at_10": float(own.column("gain").to_numpy().mean()),
            "coverage": coverage([np.asarray(listed, np.int64) for listed in own.column("items").to_pylist()], items),
        }
    return found
