"""Nothing that comes later shows: in queries, in what is known, in features, in pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_jobs.recommending.events import Events, Known, make_events
from spark_jobs.recommending.features import item_features, past_of
from spark_jobs.recommending.pairs import PairScene, pairs_of_users
from spark_jobs.recommending.tasks import Scene, Work, learned_rows
from spark_jobs.recommending.timeline import Query, known_at, moments, now, queries
from tests.spark_jobs.recommending.made import made_catalogue, made_events

_ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 30), st.integers(1, 5)), min_size=1)


def events_of(rows: list[tuple[int, int, int, int]]) -> Events:
    user, item, time, rating = (np.array(column) for column in zip(*rows, strict=True))
    return make_events(user, item, time.astype(float), rating.astype(float), 4.0, 10)


def changed_from(events: Events, moment: float) -> Events:
    """The same up to a moment; from then on others took other things."""
    later = events.time >= moment
    item = np.where(later, (events.item * 7 + 3) % events.items, events.item)
    rating = np.where(later, 6.0 - events.rating, events.rating)
    return replace(events, item=item, rating=rating)


@given(rows=_ROWS)
def test_events_are_in_the_order_of_time_and_the_first_meeting_stays(rows: list[tuple[int, int, int, int]]) -> None:
    events = events_of(rows)
    assert (np.diff(events.time) >= 0).all()
    pairs = list(zip(events.user.tolist(), events.item.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs) == len({(user, item) for user, item, _, _ in rows})
    for user, item, time in zip(events.user, events.item, events.time, strict=True):
        assert time == min(other[2] for other in rows if other[:2] == (user, item))


@given(rows=_ROWS, moment=st.integers(0, 31))
def test_what_is_known_at_a_moment_are_the_counts_of_what_was_before(
    rows: list[tuple[int, int, int, int]], moment: int
) -> None:
    events = events_of(rows)
    known = Known(events, float(moment))
    before = [
        (int(user), int(item), rating >= 4)
        for user, item, time, rating in zip(events.user, events.item, events.time, events.rating, strict=True)
        if time < moment
    ]
    for item in range(events.items):
        assert known.count[item] == sum(one[1] == item for one in before)
        assert known.liked_count[item] == sum(one[1] == item and one[2] for one in before)
        assert np.isnan(known.first[item]) == (known.count[item] == 0)
    both = known.together(np.array([0, 1]), likes=False)
    for other in range(events.items):
        users = {one[0] for one in before if one[1] == 0} & {one[0] for one in before if one[1] == other}
        assert both[0, other] == len(users)


@given(rows=_ROWS)
def test_parts_of_the_time_line_do_not_overlap_and_answers_are_new(rows: list[tuple[int, int, int, int]]) -> None:
    events = events_of([*rows, *((0, item, item, 5) for item in range(10))])
    bounds = moments(events, (0.4, 0.3))
    assert bounds[0] <= bounds[1]
    for part, low, high in (("model", -np.inf, bounds[0]), ("ranker", *bounds), ("test", bounds[1], np.inf)):
        for query in queries(events, part, bounds):  # type: ignore[arg-type]
            places = events.of_user(query.user)
            times = dict(zip(events.item[places].tolist(), events.time[places].tolist(), strict=True))
            seen = events.item[events.before(query.user, query.moment)]
            assert low <= query.moment < high and len(seen) >= 5
            assert all(query.moment <= times[item] < high for item in query.liked.tolist())
            assert not np.isin(query.liked, seen).any()
            at_once = places[(events.time[places] == query.moment) & events.liked[places]]
            assert np.isin(events.item[at_once], query.liked).all(), "what is liked at the very moment is to come, too"
        asked = [(query.user, query.moment) for query in queries(events, part, bounds)]  # type: ignore[arg-type]
        assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("refresh", [0.0, 86_400.0])
def test_what_a_ranker_sees_does_not_hang_on_what_comes_later(refresh: float) -> None:
    events, catalogue = made_events(), made_catalogue()
    asked = queries(events, "ranker", moments(events, (0.3, 0.4)))
    assert len(asked) > 20
    for query in asked[::5]:
        found = []
        for one in (events, changed_from(events, query.moment)):
            known = Known(one, known_at(query.moment, refresh))
            found.append(item_features(past_of(one, query), known, catalogue, None, query.moment))
        for name, values in found[0].items():
            np.testing.assert_array_equal(values, found[1][name], err_msg=name)
        earlier = changed_from(events, query.moment - 2 * 86_400)
        known = Known(earlier, known_at(query.moment, refresh))
        other = item_features(past_of(earlier, query), known, catalogue, None, query.moment)
        assert any((other[name] != values).any() for name, values in found[0].items()), "what was before does show"


def test_known_counts_are_never_of_a_later_moment() -> None:
    assert known_at(10.0, 4.0) == 8.0 and known_at(8.0, 4.0) == 8.0 and known_at(10.5, 0.0) == 10.5


def test_lists_of_now_know_everything() -> None:
    events = made_events()
    asked = now(events)
    assert Known(events, known_at(asked[0].moment, 0.0)).count.sum() == len(events.time)
    assert [query.user for query in asked] == list(range(events.users))
    for query in asked:
        assert len(events.before(query.user, query.moment)) == len(events.of_user(query.user))


def test_pairs_are_of_what_was_liked_before_and_negatives_of_what_was_never_had() -> None:
    events = made_events()
    until = moments(events, (0.5, 0.2))[0]
    scene = PairScene(
        events=events,
        users=[f"u{user}" for user in range(events.users)],
        items=[f"i{item}" for item in range(events.items)],
        texts=[f"text {item}" for item in range(events.items)],
        until=until,
        per_user=5,
        negatives=2,
        seed=17,
    )
    first: dict[str, float] = {}
    for item, time in zip(events.item.tolist(), events.time.tolist(), strict=True):
        first.setdefault(f"text {item}", time)
    alone = [row for user in range(events.users) for row in pairs_of_users(scene, [user]).to_pylist()]
    assert pairs_of_users(scene, range(events.users)).to_pylist() == alone, "whoever is in a task with whom"
    total = 0
    for user in range(events.users):
        rows = pairs_of_users(scene, [user]).to_pylist()
        total += len(rows)
        places = events.of_user(user)
        when = {f"text {item}": time for item, time in zip(events.item[places], events.time[places], strict=True)}
        assert sum(row["label"] == "liked" for row in rows) <= 5
        for row in rows:
            moment = float(row["time"])
            assert moment < until
            assert all(when[text] < moment for text in row["user_text"].split("; "))
            assert (row["item_text"] in when and when[row["item_text"]] < until) == (row["label"] == "liked")
            assert row["label"] == "liked" or first[row["item_text"]] < moment, "somebody had had it by then"
    assert total > 50


@settings(max_examples=20)
@given(place=st.integers(0, 10))
def test_rows_to_learn_from_hang_on_the_query_alone(place: int) -> None:
    events = made_events()
    asked = queries(events, "ranker", moments(events, (0.3, 0.4)))
    scene = Scene(
        events=events,
        catalogue=made_catalogue(),
        queries=asked,
        user_vectors=None,
        names=("likes", "words"),
        candidates=20,
        refresh=86_400.0,
        negatives=5,
        seed=17,
    )
    fresh, used = Work(scene), Work(scene)
    learned_rows(used, 12)
    assert learned_rows(fresh, place).equals(learned_rows(used, place))
    query: Query = asked[place]
    rows = learned_rows(fresh, place).to_pylist()
    candidates = fresh.seen(place).items.tolist()
    assert [row["item"] for row in rows if row["label"]] == [
        item for item in query.liked.tolist() if item in candidates
    ]
    assert sum(row["label"] == 0 for row in rows) == 5
    whole = learned_rows(Work(replace(scene, whole=frozenset({place}))), place)
    assert whole.column("item").to_pylist() == candidates
