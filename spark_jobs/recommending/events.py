"""What users did, as arrays in the order of time, and what of it was known at a moment: only what came before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_RECENT = 5000  # latest events of all users that tell what is popular now


@dataclass(frozen=True)
class Events:
    """Interactions sorted by time, then user, then item; users and items are places in lists of names.

    `user`, `item`, `time` (seconds since 1970) and `rating` have a number for each of the N interactions; a user and
    an item meet once.
    """

    user: Ints
    item: Ints
    time: Floats
    rating: Floats
    users: int
    items: int
    liked_from: float

    @cached_property
    def liked(self) -> npt.NDArray[np.bool_]:
        """Which interactions are likes, (N,)."""
        return self.rating >= self.liked_from

    @cached_property
    def by_user(self) -> Ints:
        """Places of the interactions, those of a user together and in the order of time, (N,)."""
        return np.argsort(self.user, kind="stable")

    @cached_property
    def starts(self) -> Ints:
        """Where each user's places begin in `by_user`, (users + 1,)."""
        return np.searchsorted(self.user[self.by_user], np.arange(self.users + 1))

    def of_user(self, user: int) -> Ints:
        """Places of one user's interactions, in the order of time."""
        return self.by_user[self.starts[user] : self.starts[user + 1]]

    def before(self, user: int, moment: float) -> Ints:
        """Places of what a user did before a moment."""
        places = self.of_user(user)
        return places[: int(np.searchsorted(self.time[places], moment, "left"))]


def make_events(user: Ints, item: Ints, time: Floats, rating: Floats, liked_from: float, items: int) -> Events:
    """Sort interactions; of a user and an item that meet more often, the first stays.

    Args:
        user: the place of its name, of each interaction, (N,).
        item: the same of its item, (N,).
        time: seconds since 1970, (N,).
        rating: of each, (N,).
        liked_from: the least rating that is a like.
        items: how many there are, also without interactions.
    """
    order = np.lexsort((rating, item, user, time))
    user, item, time, rating = user[order], item[order], time[order], rating[order]
    _, first = np.unique(user * items + item, return_index=True)
    kept = np.sort(first)
    users = int(user.max()) + 1 if len(user) else 0
    return Events(user[kept], item[kept], time[kept], rating[kept], users, items, liked_from)


class Known:
    """What was known at a moment of all users: their interactions before it, and no later one."""

    def __init__(self, events: Events, moment: float) -> None:
        count = int(np.searchsorted(events.time, moment, "left"))
        item, user, rating = events.item[:count], events.user[:count], events.rating[:count]
        shape = (events.users, events.items)
        is_liked = events.liked[:count]
        self.moment = moment
        self.all = sparse.csr_matrix((np.ones(count), (user, item)), shape)
        self.likes = sparse.csr_matrix((np.ones(int(is_liked.sum())), (user[is_liked], item[is_liked])), shape)
        self.count = np.bincount(item, minlength=events.items).astype(np.float64)
        self.liked_count = np.bincount(item[is_liked], minlength=events.items).astype(np.float64)
        self.recent = np.bincount(item[-_RECENT:] if count else item, minlength=events.items).astype(np.float64)
        self.mean = float(rating.mean()) if count else events.liked_from
        self.rating_sum = np.bincount(item, rating, minlength=events.items)
        first = np.full(events.items, np.nan)
        seen, place = np.unique(item, return_index=True)  # the first place of each, as they are in the order of time
        first[seen] = events.time[place]
        self.first = first

    @cached_property
    def _columns(self) -> tuple[sparse.csc_matrix, sparse.csc_matrix]:
        return self.all.tocsc(), self.likes.tocsc()

    def together(self, items: Ints, *, likes: bool) -> Floats:
        """How many users had (or liked) each of some items and each of all others, (len(items), all items)."""
        rows, columns = (self.likes, self._columns[1]) if likes else (self.all, self._columns[0])
        found: Floats = (columns[:, items].T @ rows).toarray()
        return found


def cosines(together: Floats, counts: Floats, items: Ints, shrink: float) -> Floats:
    """Cosine of the users of items, with `shrink` added below so that few users tell little; 0 of an item to itself."""
    roots = np.sqrt(counts)
    below = roots[items][:, None] * roots
    below += shrink
    np.maximum(below, 1e-9, out=below)
    found: Floats = np.divide(together, below, out=below)
    found[np.arange(len(items)), items] = 0.0
    return found
