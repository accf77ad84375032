"""The first items of a query's order, read by a model that sees the texts of user and item together, and put anew.

Tasks read the pairs of a block of queries together. A model's last bits hang on the rows of a batch, and blocks are the
same, however they are dealt out to tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from mapring.pairs import join_pairs
from mapring.settings.answers import Answers
from spark_jobs.prediction import predict_columns
from spark_jobs.ranking.features import TextScores, asked_by_ranker
from spark_jobs.ranking.published import lists_of
from spark_jobs.ranking.trees import Trees
from spark_jobs.recommending.catalogue import user_text
from spark_jobs.recommending.events import Floats, Ints
from spark_jobs.recommending.features import LAST
from spark_jobs.recommending.figures import CUTOFF
from spark_jobs.recommending.tasks import LEARNED, OURS, Scene, Seen, Work, baseline_lists, judged, listed
from spark_jobs.recommending.timeline import relevance
from spark_jobs.task_predictor import load_task_predictor

BEFORE, WITHOUT_MODEL = "before_reranking", "reranked_without_model"
FEATURES = ("place", "pair")  # beside those of the first trees: the place by them, and what the model says of the pair
QUERIES_PER_BLOCK = 32

Reader = Callable[[Sequence[tuple[str, str]]], Floats]  # a number for each pair of user's and item's text, else NaN


@dataclass(frozen=True, kw_only=True)
class ModelReader:
    """A published model as a reader; each worker loads it once."""

    directory: str
    batch_tokens: int
    scores: TextScores

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """What the model says of each pair, (N,); NaN of a pair that it fails on, which fails alone."""
        predictor = load_task_predictor(self.directory, self.batch_tokens)
        sides = [predictor.normalize(pa.array(side, pa.string())) for side in zip(*pairs, strict=True)]
        asked = asked_by_ranker(Answers(), self.scores.mode)
        columns, _ = predict_columns(predictor, join_pairs(*sides).to_pylist(), asked)
        found: Floats = self.scores.of(columns)[:, self.scores.own]
        return found


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """What tasks need beside a scene; sent to each of them once.

    `texts` are those of all items, `count` are the items of a shortlist. `trees` give the last order; `plain` are trees
    that do not see what the model says, for a comparison. Both are None before they are fitted.
    """

    reader: Reader
    texts: Sequence[str]
    count: int
    trees: str | None = None
    plain: str | None = None


@dataclass(frozen=True)
class Shortlist:
    """A query's candidates in the first order with their scores, (C,); of the first N what second trees see, (N, F).

    `baselines` are the first items by each baseline that is asked for.
    """

    place: int
    items: Ints
    scores: Floats
    rows: Floats
    baselines: Mapping[str, Ints]


class CascadeWork:
    """A scene and a cascade in a task; `on_pairs` is told how many pairs were read, and how many could not be."""

    def __init__(self, scene: Scene, cascade: Cascade, on_pairs: Callable[[int, int], None]) -> None:
        self.first = Work(scene)
        self.cascade = cascade
        self._on_pairs = on_pairs
        self._trees = None if cascade.trees is None else Trees(cascade.trees)
        self._plain = None if cascade.plain is None else Trees(cascade.plain)

    def shortlists(self, places: Sequence[int], *, baselines: bool = False) -> list[Shortlist]:
        """The shortlists of some queries, whose pairs are read together; with the baselines' lists where asked."""
        pairs: list[tuple[str, str]] = []
        found = []
        for place in places:  # nothing of what was known at the moment is kept for the next one: that is large
            seen = self.first.seen(place)
            scores = self.first.scores(place, seen)
            order = np.lexsort((seen.items, -scores))
            head = order[: self.cascade.count]
            pairs += self._pairs(seen, head)
            rows = np.column_stack([seen.rows[head], np.arange(1.0, len(head) + 1)])
            lists = baseline_lists(self.first, place) if baselines else {}
            found.append(Shortlist(place, seen.items[order], scores[order], rows, lists))
        parts = np.split(self._read(pairs), np.cumsum([len(one.rows) for one in found])[:-1])
        return [replace(one, rows=np.column_stack([one.rows, part])) for one, part in zip(found, parts, strict=True)]

    def order(self, one: Shortlist) -> tuple[Ints, Floats]:
        """Items in the last order with the interest in each, (C,), which falls from item to item."""
        assert self._trees is not None
        return _reordered(one, self._trees(one.rows))

    def order_without_model(self, one: Shortlist) -> Ints:
        """Items in the order of the trees that do not see what the model says, (C,)."""
        assert self._plain is not None
        return _reordered(one, self._plain(one.rows[:, :-1]))[0]

    def _pairs(self, seen: Seen, head: Ints) -> list[tuple[str, str]]:
        texts = self.cascade.texts
        asked = user_text(texts, seen.past.liked[-LAST:].tolist())
        return [(asked, texts[item]) for item in seen.items[head].tolist()]

    def _read(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        found = self.cascade.reader(pairs) if pairs else np.empty(0)
        self._on_pairs(len(pairs), int(np.isnan(found).sum()))
        return found


def _reordered(one: Shortlist, scores: Floats) -> tuple[Ints, Floats]:
    """The first N by new scores (N,), equal ones as they were; the others behind them, as far apart as before."""
    count = len(scores)
    if not count:
        return one.items, one.scores
    order = np.argsort(-scores, kind="stable")
    behind = scores.min() + one.scores[count:] - one.scores[count - 1]
    items = np.concatenate([one.items[:count][order], one.items[count:]])
    return items, np.concatenate([scores[order], behind])


def learned_shortlists(work: CascadeWork, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Rows of LEARNED: the shortlists of some queries."""
    for one in work.shortlists(places):
        items = one.items[: len(one.rows)]
        columns = {
            "query": [one.place] * len(items),
            "item": items,
            "label": relevance(work.first.scene.queries[one.place], items),
            "seen": lists_of(one.rows),
        }
        yield pa.RecordBatch.from_pydict(columns, schema=LEARNED)


def judged_shortlists(work: CascadeWork, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Rows of JUDGED: the last order's, the first order's, that without what the model says, and the baselines'."""
    for one in work.shortlists(places, baselines=True):
        lists = {
            **one.baselines,
            OURS: work.order(one)[0][:CUTOFF],
            BEFORE: one.items[:CUTOFF],
            WITHOUT_MODEL: work.order_without_model(one)[:CUTOFF],
        }
        yield judged(work.first, one.place, lists)


class GivenShortlists:
    """Rows of LISTED: the first items of the last order, with the interest in them."""

    def __init__(self, top_k: int) -> None:
        self.top_k = top_k

    def __call__(self, work: CascadeWork, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """The lists of some queries."""
        for one in work.shortlists(places):
            items, interest = work.order(one)
            yield listed(one.place, items[: self.top_k], interest[: self.top_k])


def over_blocks(
    batches: Iterable[pa.RecordBatch],
    *,
    given: Callable[[], tuple[Scene, Cascade]],
    make: Callable[[CascadeWork, Sequence[int]], Iterator[pa.RecordBatch]],
    on_rows: Callable[[int], None],
    on_pairs: Callable[[int, int], None],
) -> Iterator[pa.RecordBatch]:
    """What is made of blocks of queries, whose numbers come in the first column; runs inside tasks."""
    work: CascadeWork | None = None
    for batch in batches:
        for number in batch.column(0).to_pylist():
            work = work or CascadeWork(*given(), on_pairs)
            start = number * QUERIES_PER_BLOCK
            places = range(start, min(start + QUERIES_PER_BLOCK, len(work.first.scene.queries)))
            yield from make(work, places)
            on_rows(len(places))
