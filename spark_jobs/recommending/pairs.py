"""Pairs of texts from the earliest interactions: what a user liked before, and what was liked or passed over then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mapring.contract.schemas import PAIR
from spark_jobs.recommending.catalogue import user_text
from spark_jobs.recommending.events import Events, Ints
from spark_jobs.recommending.features import LAST
from spark_jobs.recommending.negatives import sample_negatives

_MOST_ROWS = 20_000  # of users that are looked at together
LIKED, PASSED = "liked", "passed"


@dataclass(frozen=True, kw_only=True)
class PairScene:
    """What tasks need: events, names and texts, up to which moment, and how many pairs."""

    events: Events
    users: Sequence[str]
    items: Sequence[str]
    texts: Sequence[str]
    until: float
    per_user: int
    negatives: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class _Like:
    """A like, the interaction at `place`, of a user who had liked `before`, items in the order of time."""

    user: int
    place: int
    moment: float
    before: Ints


def pairs_of_users(scene: PairScene, users: Sequence[int]) -> pa.RecordBatch:
    """Rows of PAIR of users: each like before the end that had likes before it, the latest ones of each user.

    Negatives are drawn by popularity until the moment of the like, from items that somebody had by then and the user
    never had before the end: a model that is shown items of later years as passed over learns to know the years.
    """
    likes = [like for user in users for like in _likes(scene, user)]
    rows = []
    for like, passed in zip(likes, _passed_over(scene, likes), strict=True):
        text = user_text(scene.texts, like.before[-LAST:].tolist())
        for item, label in [(int(scene.events.item[like.place]), LIKED), *((item, PASSED) for item in passed)]:
            rows.append(
                {
                    "user_text": text,
                    "item_text": scene.texts[item],
                    "label": label,
                    "user": scene.users[like.user],
                    "item": scene.items[item],
                    "time": repr(like.moment),
                }
            )
    return pa.RecordBatch.from_pylist(rows, schema=PAIR)


def _likes(scene: PairScene, user: int) -> Iterator[_Like]:
    events = scene.events
    places = events.before(user, scene.until)
    liked = places[events.liked[places]]
    moments = events.time[liked]
    for place in liked[-scene.per_user :].tolist():
        moment = float(events.time[place])
        before = liked[: int(np.searchsorted(moments, moment, "left"))]
        if len(before):
            yield _Like(user=user, place=place, moment=moment, before=events.item[before])


def _passed_over(scene: PairScene, likes: Sequence[_Like]) -> list[list[int]]:
    """The negatives of each like; popularity is counted once, along the time line of all of them."""
    found: list[list[int]] = [[] for _ in likes]
    if not scene.negatives:
        return found
    events, counted = scene.events, 0
    popularity = np.zeros(events.items)
    for number in sorted(range(len(likes)), key=lambda number: likes[number].moment):
        like = likes[number]
        end = int(np.searchsorted(events.time, like.moment, "left"))
        popularity += np.bincount(events.item[counted:end], minlength=events.items)
        counted = end
        allowed = popularity > 0
        allowed[events.item[events.before(like.user, scene.until)]] = False
        seed = (scene.seed, like.user, int(events.item[like.place]))
        found[number] = sample_negatives(allowed, popularity, scene.negatives, seed).tolist()
    return found


def over_users(
    batches: Iterable[pa.RecordBatch], *, scene: Callable[[], PairScene], on_rows: Callable[[int], None]
) -> Iterator[pa.RecordBatch]:
    """Pairs of the users of a slice, whose places come in the first column; runs inside tasks."""
    known = scene()
    together = max(1, _MOST_ROWS // (known.per_user * (1 + known.negatives)))  # 2 kB a row while they are made
    for batch in batches:
        users = batch.column(0).to_pylist()
        for start in range(0, len(users), together):
            found = pairs_of_users(known, users[start : start + together])
            on_rows(found.num_rows)
            yield found
