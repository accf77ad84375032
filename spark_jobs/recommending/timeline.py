"""Questions put to the past: at a moment of a user, what of the items to come will be liked? Split by time alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from spark_jobs.recommending.events import Events, Floats, Ints

Part = Literal["model", "ranker", "test"]
_PARTS = 5  # of a user's interactions: the moments between them are asked at
_FEWEST_BEFORE = 5  # interactions of a user before a moment that is asked at


@dataclass(frozen=True)
class Query:
    """A user at a moment; `liked` are the items, new to the user and sorted, that were liked from then on."""

    user: int
    moment: float
    liked: Ints


def moments(events: Events, shares: tuple[float, float]) -> tuple[float, float]:
    """The moments that part the interactions: the first share teaches the text model, the next the ranker.

    What is later tests. Both moments are times of interactions, and what is at them belongs to the later part.
    """
    last = len(events.time) - 1
    places = np.minimum(last, np.floor(np.cumsum(shares) * len(events.time)).astype(np.int64))
    model, ranker = (float(events.time[place]) for place in places)
    return model, ranker


def queries(events: Events, part: Part, bounds: tuple[float, float]) -> list[Query]:
    """The queries of a part of the time line, sorted by moment and user.

    A user's interactions are cut into five equal parts, each cut where a moment begins: what has one time, as all
    purchases of a day may have, is on one side. At each cut in a training part of the time line the likes of the user's
    next part are the answer, if all of them are in this part of the time line. The test asks once for each user, at the
    last cut.
    """
    low, high = {"model": (-np.inf, bounds[0]), "ranker": bounds, "test": (bounds[1], np.inf)}[part]
    found = []
    for user in range(events.users):
        places = events.of_user(user)
        cuts = _cuts(events.time[places])
        asked = range(_PARTS - 1) if part != "test" else range(_PARTS - 2, _PARTS - 1)
        for number in asked:
            start, end = int(cuts[number]), int(cuts[number + 1])
            if end <= start:
                continue
            moment = float(events.time[places[start]])
            if moment < low or events.time[places[end - 1]] >= high:
                continue
            answer = _answer(events, user, moment, places[start:end])
            if answer is not None:
                found.append(answer)
    return sorted(found, key=lambda query: (query.moment, query.user))


def _cuts(times: Floats) -> Ints:
    """Where four cuts and the end of a user's interactions are, by their sorted times; equal ones part nothing."""
    cuts = np.floor(len(times) * np.arange(1, _PARTS) / _PARTS).astype(np.int64)
    begins = np.searchsorted(times, times[cuts], "left") if len(times) else cuts
    return np.append(begins, len(times))


def _answer(events: Events, user: int, moment: float, asked: Ints) -> Query | None:
    """None where too little is before the moment, or nothing was liked after it."""
    before = events.before(user, moment)
    liked = np.sort(events.item[asked[events.liked[asked]]])
    return Query(user, moment, liked) if len(before) >= _FEWEST_BEFORE and len(liked) else None


def known_at(moment: float, refresh: float) -> float:
    """The moment up to which other users' interactions are known: the last multiple of `refresh` seconds."""
    return float(np.floor(moment / refresh) * refresh) if refresh else moment


def now(events: Events) -> list[Query]:
    """A query for each user behind all interactions, whose answer nobody knows."""
    moment = float(np.nextafter(events.time[-1], np.inf)) if len(events.time) else 0.0
    nothing = np.empty(0, np.int64)
    return [Query(user, moment, nothing) for user in range(events.users)]


def relevance(query: Query, items: Ints) -> Floats:
    """1 of the items that were liked, else 0."""
    return np.isin(items, query.liked).astype(np.float64)
