"""Pairs of texts from the earliest interactions: what a user liked before, and what was liked or passed over then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mapring.contract.schemas import PAIR
from spark_jobs.recommending.catalogue import user_text
from spark_jobs.recommending.events import Events
from spark_jobs.recommending.features import LAST
from spark_jobs.recommending.negatives import sample_negatives

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


def pairs_of_user(scene: PairScene, user: int) -> pa.RecordBatch:
    """Rows of PAIR of one user: each like before the end that had likes before it, the latest ones.

    Negatives are drawn by popularity until the moment of the like, from items that somebody had by then and the user
    never had before the end: a model that is shown items of later years as passed over learns to know the years.
    """
    events = scene.events
    places = events.before(user, scene.until)
    liked = places[events.liked[places]]
    moments = events.time[liked]
    rows = []
    had = np.zeros(events.items, bool)
    had[events.item[places]] = True
    for place in liked[-scene.per_user :].tolist():
        moment = float(events.time[place])
        before = liked[: int(np.searchsorted(moments, moment, "left"))]
        if not len(before):
            continue
        text = user_text(scene.texts, events.item[before[-LAST:]].tolist())
        drawn = [(int(events.item[place]), LIKED)]
        if scene.negatives:
            end = int(np.searchsorted(events.time, moment, "left"))
            popularity = np.bincount(events.item[:end], minlength=events.items).astype(np.float64)
            seed = (scene.seed, user, int(events.item[place]))
            allowed = ~had & (popularity > 0)
            drawn += [(item, PASSED) for item in sample_negatives(allowed, popularity, scene.negatives, seed).tolist()]
        rows += [
            {
                "user_text": text,
                "item_text": scene.texts[item],
                "label": label,
                "user": scene.users[user],
                "item": scene.items[item],
                "time": repr(moment),
            }
            for item, label in drawn
        ]
    return pa.RecordBatch.from_pylist(rows, schema=PAIR)


def over_users(
    batches: Iterable[pa.RecordBatch], *, scene: Callable[[], PairScene], on_rows: Callable[[int], None]
) -> Iterator[pa.RecordBatch]:
    """Pairs of the users of a slice, whose places come in the first column; runs inside tasks."""
    for batch in batches:
        for user in batch.column(0).to_pylist():
            found = pairs_of_user(scene(), user)
            on_rows(found.num_rows)
            yield found
