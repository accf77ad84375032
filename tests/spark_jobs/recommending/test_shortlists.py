"""The last order: a model that knows the truth lifts it, only the shortlist moves, pairs without a number stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from mapring.settings.recommend import RecommendTrees
from spark_jobs.ranking.trees import Trees, fit, is_held_out
from spark_jobs.recommending.cascade import FOLDS, fit_for_folds, fit_second, fold_of, training_rows
from spark_jobs.recommending.events import Floats
from spark_jobs.recommending.shortlists import (
    BEFORE,
    FEATURES,
    QUERIES_PER_BLOCK,
    WITHOUT_MODEL,
    Cascade,
    CascadeWork,
    GivenShortlists,
    judged_shortlists,
    learned_shortlists,
    over_blocks,
)
from spark_jobs.recommending.tasks import OURS, Scene, Work, judged_lists, learned_rows, means
from spark_jobs.recommending.timeline import moments, queries
from tests.spark_jobs.recommending.made import made_catalogue, made_events

Pairs = Sequence[tuple[str, str]]

ITEMS, COUNT, SEED = 60, 12, 17
NAMES = ("likes", "recent_share")  # which tell nothing of kinds
TREES = RecommendTrees(rounds=20, rows_per_leaf=5)
EVENTS = made_events(users=120, items=ITEMS)
TEXTS = [f"a film of {('space', 'love')[item % 2]} {item}" for item in range(ITEMS)]


def truth(pairs: Pairs) -> Floats:
    """Whether most of the user's films are of the item's kind."""
    return np.array([float(asked.count("love") * 2 > asked.count("film")) == ("love" in text) for asked, text in pairs])


def noise(pairs: Pairs) -> Floats:
    return np.array([(hash_of(pair) % 97) / 97 for pair in pairs])


def hash_of(pair: tuple[str, str]) -> int:
    return sum(place * ord(letter) for place, letter in enumerate("".join(pair)))


def broken(pairs: Pairs) -> Floats:
    """The truth of most items, none of those whose number ends with 3."""
    return np.where([text.endswith("3") for _, text in pairs], np.nan, truth(pairs))


class World:
    """Scenes of the ranker's part and the test's, first trees, and for each reader what is learned with it."""

    def __init__(self) -> None:
        bounds = moments(EVENTS, (0.2, 0.5))
        scene = Scene(
            events=EVENTS,
            catalogue=made_catalogue(ITEMS),
            queries=queries(EVENTS, "ranker", bounds),
            user_vectors=None,
            names=NAMES,
            candidates=25,
            refresh=86_400.0,
            negatives=10,
            seed=SEED,
            forms=frozenset({"popularity/likes"}),
        )
        users = [query.user for query in scene.queries]
        self.held = np.array([is_held_out(str(user), 0.2, SEED) for user in users])
        self.folds = np.array([fold_of(str(user), SEED) for user in users])
        work = Work(scene)
        table = pa.Table.from_batches([learned_rows(work, place) for place in range(len(users))])
        self.rows = training_rows(table, self.held)
        self.of_row = table.column("query").to_numpy()
        first = fit(self.rows, TREES, "lambdarank", SEED)
        trees = (first.text, *fit_for_folds(self.rows, self.folds[self.of_row], TREES, SEED))
        chosen = tuple(np.where(self.held, 0, 1 + self.folds).tolist())
        self.learned = replace(scene, trees=trees, trees_of=chosen)
        self.tested = replace(scene, queries=queries(EVENTS, "test", bounds), trees=(first.text,))

    def cascade(self, reader: Callable[[Pairs], Floats]) -> Cascade:
        cascade = Cascade(reader=reader, texts=TEXTS, count=COUNT)
        table = over(self.learned, cascade, learned_shortlists)
        second = fit_second(table, self.held, (*NAMES, *FEATURES), TREES, SEED)
        assert set(second.evaluation["gain_share"]) == {*NAMES, *FEATURES}
        assert second.evaluation["unread"] == np.isnan(second.seen[:, -1]).sum()
        return replace(cascade, trees=second.trees, plain=second.plain)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def over(scene, cascade, make, slices: int = 1, on_pairs=lambda _read, _failed: None) -> pa.Table:  # type: ignore[no-untyped-def]
    """What tasks make of all blocks, dealt out to so many."""
    blocks = -(-len(scene.queries) // QUERIES_PER_BLOCK)
    found = []
    for numbers in np.array_split(np.arange(blocks), slices):
        batch = pa.RecordBatch.from_pydict({"id": numbers})
        found += over_blocks(
            [batch], given=lambda: (scene, cascade), make=make, on_rows=lambda _rows: None, on_pairs=on_pairs
        )
    return pa.Table.from_batches(found)


def test_a_model_that_knows_the_truth_lifts_ndcg_and_noise_does_not(world: World) -> None:
    found = {}
    for reader in (truth, noise):
        rows = over(world.tested, world.cascade(reader), judged_shortlists)
        found[reader] = {form: values["ndcg_at_10"] for form, values in means(rows, ITEMS).items()}
        assert set(found[reader]) == {OURS, BEFORE, WITHOUT_MODEL, "popularity/likes"}
    work = Work(world.tested)
    plain = pa.Table.from_batches([judged_lists(work, place) for place in range(len(world.tested.queries))])
    first = means(plain, ITEMS)[OURS]["ndcg_at_10"]
    assert found[truth][BEFORE] == found[noise][BEFORE] == first, "the first order is the one without re-ranking"
    assert found[truth][OURS] > 1.4 * first and found[truth][OURS] > 1.4 * found[truth][WITHOUT_MODEL]
    assert found[noise][OURS] < 1.2 * first


def test_only_the_shortlist_moves_and_interest_falls(world: World) -> None:
    cascade = world.cascade(truth)
    work = CascadeWork(world.tested, cascade, lambda _read, _failed: None)
    moved = 0
    for one in work.shortlists(range(20)):
        items, interest = work.order(one)
        assert set(items[:COUNT].tolist()) == set(one.items[:COUNT].tolist()) and len(one.items) > COUNT
        assert items[COUNT:].tolist() == one.items[COUNT:].tolist()
        assert (np.diff(interest) <= 0).all() and (np.diff(one.scores) <= 0).all()
        moved += items[:COUNT].tolist() != one.items[:COUNT].tolist()
    assert moved > 10
    rows = over(world.tested, cascade, GivenShortlists(COUNT + 2)).to_pylist()
    assert [row["rank"] for row in rows[: COUNT + 2]] == list(range(1, COUNT + 3))


def test_the_same_comes_out_however_blocks_are_dealt_out(world: World) -> None:
    assert len(world.tested.queries) > 2
    cascade = world.cascade(truth)
    asked: list[int] = []

    def counting(pairs: Pairs) -> Floats:
        asked.append(len(pairs))
        return truth(pairs)

    whole = over(world.learned, replace(cascade, reader=counting), learned_shortlists)
    alone, sizes = over(world.learned, replace(cascade, reader=counting), learned_shortlists, slices=3), len(asked) // 2
    assert whole.equals(alone) and asked[:sizes] == asked[sizes:] and sizes > 2


def test_pairs_that_cannot_be_read_stay_and_are_counted(world: World) -> None:
    cascade = world.cascade(broken)
    counted: list[tuple[int, int]] = []
    rows = over(world.tested, cascade, GivenShortlists(5), on_pairs=lambda *both: counted.append(both))
    assert len(rows) == 5 * len(world.tested.queries)
    read, failed = np.sum(counted, axis=0)
    assert read == COUNT * len(world.tested.queries) and 0 < failed < read / 2
    table = over(world.learned, cascade, learned_shortlists)
    unread = [row["seen"][-1] is None for row in table.to_pylist()]
    assert unread == [item % 10 == 3 for item in table.column("item").to_pylist()] and any(unread)


def test_no_trees_that_order_a_training_moment_learned_from_its_user(world: World) -> None:
    rows, folds = world.rows, world.folds[world.of_row]
    assert set(folds.tolist()) == set(range(FOLDS))
    trees = fit_for_folds(rows, folds, TREES, SEED)
    turned = (folds == 1) & ~rows.held_out
    labels = np.where(turned, 1 - rows.labels, rows.labels)
    others = fit_for_folds(rows._replace(labels=labels), folds, TREES, SEED)
    assert [one == other for one, other in zip(trees, others, strict=True)] == [False, True, False, False]
    assert Trees(trees[1]).width == len(NAMES)
    users = {query.user: fold for query, fold in zip(world.learned.queries, world.folds.tolist(), strict=True)}
    for query, chosen, held in zip(world.learned.queries, world.learned.trees_of or (), world.held, strict=True):
        assert chosen == (0 if held else 1 + users[query.user])


def test_a_query_without_candidates_has_an_empty_shortlist(world: World) -> None:
    place = len(world.tested.queries) - 1
    scene = replace(world.tested, candidates=0)
    work = CascadeWork(scene, world.cascade(truth), lambda _read, _failed: None)
    [one] = work.shortlists([place])
    assert len(one.items) == 0 and one.rows.shape == (0, len(NAMES) + 2) and len(work.order(one)[0]) == 0
