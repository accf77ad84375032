"""Made-up behaviour: users of two tastes, items of two kinds, which words and tags tell."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np

from spark_jobs.recommending.catalogue import Catalogue, make_catalogue
from spark_jobs.recommending.events import Events, make_events

DAY = 86_400


def made_events(seed: int = 1, users: int = 40, items: int = 60, each: int = 20) -> Events:
    """Users who come one after the other; most of what they take and like is of their own kind (even or odd)."""
    chance = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        weights = np.where(np.arange(items) % 2 == user % 2, 8.0, 1.0) / (1 + np.arange(items) // 2)
        taken = chance.choice(items, each, replace=False, p=weights / weights.sum())
        start = 1.0e9 + user * DAY
        for number, item in enumerate(taken.tolist()):
            likes = item % 2 == user % 2
            rows.append((user, item, start + 3600.0 * number, 5.0 if likes else 2.0))
    user_, item_, time, rating = (np.array(column) for column in zip(*rows, strict=True))
    return make_events(user_, item_, time, rating, 4.0, items)


def made_catalogue(items: int = 60) -> Catalogue:
    """Titles and tags that tell the kind of an item."""
    kinds = [("space", "love")[item % 2] for item in range(items)]
    return make_catalogue([f"a film of {kind} {item}" for item, kind in enumerate(kinds)], [[kind] for kind in kinds])


def write_behaviour(root: Path, events: Events, seed: int = 3, kinds: tuple[str, str] = ("space", "love")) -> None:
    """The same as files, interactions in no order, some rows that cannot be used; `kinds` are words of the items."""
    rows = [
        [f"u{user:03d}", f"i{item:03d}", rating, int(time)]
        for user, item, rating, time in zip(events.user, events.item, events.rating, events.time, strict=True)
    ]
    random.Random(seed).shuffle(rows)
    rows += [["u000", "nowhere", 5.0, 1_000_000_000], ["", "i001", 5.0, 1_000_000_000], ["u001", "i001", 5.0, ""]]
    with (root / "ratings.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["who", "what", "stars", "when"], *rows])
    items = [[f"i{item:03d}", f"a film of {kinds[item % 2]} {item}", kinds[item % 2]] for item in range(events.items)]
    with (root / "films.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["id", "title", "genres"], *items])
