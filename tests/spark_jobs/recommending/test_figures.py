"""Figures of lists, and negatives: by definition, and where nothing is left."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from mapring.settings.words import Words
from spark_jobs.recommending.baselines import baseline_scores, family
from spark_jobs.recommending.catalogue import make_catalogue
from spark_jobs.recommending.events import Known
from spark_jobs.recommending.features import past_of
from spark_jobs.recommending.figures import coverage, gain, hit, top_items
from spark_jobs.recommending.negatives import sample_negatives
from spark_jobs.recommending.tasks import JUDGED, means
from spark_jobs.recommending.timeline import now
from tests.spark_jobs.recommending.made import made_catalogue, made_events


@given(scores=st.lists(st.integers(0, 5), min_size=1, max_size=40), count=st.integers(0, 50), data=st.data())
def test_the_first_items_are_those_of_a_whole_sort_without_what_was_seen(
    scores: list[int], count: int, data: st.DataObject
) -> None:
    seen = np.array(data.draw(st.lists(st.integers(0, len(scores) - 1), unique=True)), np.int64)
    found = top_items(np.array(scores, float), seen, count).tolist()
    left = [item for item in range(len(scores)) if item not in seen]
    assert found == sorted(left, key=lambda item: (-scores[item], item))[:count]


def test_items_without_a_score_are_never_listed() -> None:
    assert top_items(np.array([-np.inf, 1.0, -np.inf]), np.array([], np.int64), 3).tolist() == [1]


@given(liked=st.sets(st.integers(0, 29), min_size=1), seed=st.integers(0, 99))
def test_gain_is_scikit_learn_s_over_all_items(liked: set[int], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(30)
    scores = np.empty(30)
    scores[order] = np.arange(30, 0, -1)
    truth = np.isin(np.arange(30), list(liked)).astype(float)
    wanted = np.array(sorted(liked))
    np.testing.assert_allclose(gain(order[:10], wanted), ndcg_score(truth[None], scores[None], k=10))
    assert hit(order[:10], wanted) == float(bool(set(order[:10].tolist()) & liked))


def test_coverage_counts_each_item_once() -> None:
    assert coverage([np.array([1, 2]), np.array([2, 3])], 10) == 0.3 and coverage([], 10) == 0.0


@given(seed=st.integers(0, 50), count=st.integers(0, 30))
def test_negatives_are_different_allowed_items_and_the_same_again(seed: int, count: int) -> None:
    allowed = np.arange(40) % 2 == 0
    found = sample_negatives(allowed, np.arange(40.0), count, (seed, 1))
    assert len(set(found.tolist())) == len(found) == min(count, 20) and allowed[found].all()
    assert found.tolist() == sample_negatives(allowed, np.arange(40.0), count, (seed, 1)).tolist()


def test_negatives_come_in_proportion_to_a_power_of_popularity() -> None:
    popularity = np.array([0.0, 15.0, 255.0])
    drawn = [int(sample_negatives(np.ones(3, bool), popularity, 1, (number,))[0]) for number in range(4000)]
    weights = (popularity + 1) ** 0.75
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 4000, weights / weights.sum(), atol=0.03)


def test_item_knn_finds_the_kind_of_what_was_liked_and_popularity_does_not() -> None:
    events, catalogue = made_events(), made_catalogue()
    own = {}
    for query in now(events)[-8:]:
        past = past_of(events, query)
        scores = baseline_scores(past, Known(events, query.moment), catalogue)
        assert {family(form) for form in scores} == {"popularity", "item_knn", "tfidf"}
        for form, values in scores.items():
            listed = top_items(values, past.seen, 5)
            own.setdefault(form, []).append((listed % 2 == query.user % 2).mean())
    assert np.mean(own["tfidf/liked"]) == 1.0
    assert np.mean(own["item_knn/liked shrink=10 neighbours=all history=all"]) > 0.9
    assert np.mean(own["popularity/interactions"]) < 0.7


def test_fewer_neighbours_leave_out_what_is_far() -> None:
    events, catalogue = made_events(items=120, each=30), made_catalogue(120)
    query = now(events)[0]
    scores = baseline_scores(past_of(events, query), Known(events, query.moment), catalogue)
    near = scores["item_knn/had shrink=0 neighbours=20 history=all"]
    whole = scores["item_knn/had shrink=0 neighbours=all history=all"]
    assert (near <= whole).all() and (near < whole).any()


def test_words_of_chinese_items_are_parted_where_it_is_asked_for() -> None:
    texts = ["太空电影", "太空故事", "爱情故事"]
    parted = make_catalogue(texts, [[], [], []], settings=Words(segmenter="chinese"))
    likeness = parted.likeness(np.array([0]))[:, 0]
    assert likeness[1] > 0 and likeness[2] == 0
    assert make_catalogue(texts, [[], [], []]).likeness(np.array([0]))[1, 0] == 0
    assert make_catalogue(["...", "!"], [[], []]).likeness(np.array([0]))[:, 0].tolist() == [0.0, 0.0]


def test_means_are_of_each_form_and_coverage_of_all_its_lists() -> None:
    rows = pa.Table.from_pylist(
        [
            {"query": 0, "form": "a", "hit": 1.0, "gain": 0.5, "items": [1, 2]},
            {"query": 1, "form": "a", "hit": 0.0, "gain": 0.0, "items": [2, 3]},
            {"query": 0, "form": "b", "hit": 0.0, "gain": 0.0, "items": []},
        ],
        schema=JUDGED,
    )
    found = means(rows, 10)
    assert found["a"] == {"hr_at_10": 0.5, "ndcg_at_10": 0.25, "coverage": 0.3}
    assert found["b"] == {"hr_at_10": 0.0, "ndcg_at_10": 0.0, "coverage": 0.0}
