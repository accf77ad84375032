"""What a ranker sees of an item for a user at a moment: behaviour of all before it, words, tags and vectors.

Every number hangs on interactions before the moment alone. Scores that only compare the items of one user are divided
by their greatest, so that they mean the same for users of long and short histories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

from spark_jobs.recommending.catalogue import Catalogue
from spark_jobs.recommending.events import Events, Floats, Ints, Known, cosines
from spark_jobs.recommending.figures import top_items
from spark_jobs.recommending.timeline import Query

HISTORY = 200  # a user's latest interactions that count
LAST = 10  # of these, the ones that tell what a user is after now
_SHRINK = 10.0  # users
_PRIOR = 10.0  # ratings of the mean, beside those of an item
_DAY = 86_400.0

BEHAVIOUR = (
    "users",
    "likes",
    "mean_rating",
    "recent_share",
    "like_share",
    "age_days",
    "liked_together",
    "liked_together_shrunk",
    "liked_together_most",
    "liked_together_shrunk_most",
    "liked_together_last",
    "liked_together_decayed",
    "had_together",
    "had_together_last",
    "had_together_decayed",
    "rated_together",
    "user_interactions",
    "user_like_share",
    "user_popularity",
)
TEXT = ("words", "words_most", "words_last", "tags", "tags_lift", "tags_last")
MODEL = ("similarity", "similarity_most", "similarity_last")
_PROPOSE = (  # features whose first items are ranked
    "likes",
    "recent_share",
    "liked_together",
    "liked_together_shrunk",
    "liked_together_last",
    "had_together",
    "had_together_decayed",
    "words",
    "similarity",
)


@dataclass(frozen=True)
class Past:
    """What a user did before a moment: items in the order of time, their ratings, and those that were liked.

    Of a user who liked nothing, all items stand for those that were liked; `like_share` of the items is 0 then.
    """

    items: Ints
    ratings: Floats
    liked: Ints
    like_share: float
    seen: Ints  # also what is older than `items`


def past_of(events: Events, query: Query) -> Past:
    """The past of a user at the moment of a query."""
    places = events.before(query.user, query.moment)
    latest = places[-HISTORY:]
    liked = latest[events.liked[latest]]
    return Past(
        items=events.item[latest],
        ratings=events.rating[latest],
        liked=events.item[liked if len(liked) else latest],
        like_share=len(liked) / max(1, len(latest)),
        seen=events.item[places],
    )


def feature_names(*, behaviour: bool, text: bool, model: bool) -> tuple[str, ...]:
    """Names of the features that a ranker sees, in their order."""
    return (*(BEHAVIOUR if behaviour else ()), *(TEXT if text else ()), *(MODEL if model else ()))


def item_features(
    past: Past, known: Known, catalogue: Catalogue, user_vector: Floats | None, moment: float
) -> dict[str, Floats]:
    """All features, by name; each has a number for each item of the catalogue, (items,)."""
    found = {**_behaviour(past, known, moment), **_text(past, known, catalogue)}
    if catalogue.vectors is not None and user_vector is not None:
        found.update(_model(past, catalogue.vectors, user_vector))
    return found


def candidates(features: Mapping[str, Floats], names: Sequence[str], seen: Ints, each: int) -> Ints:
    """Items worth ranking: the first ones by each feature that proposes, without what the user had; sorted."""
    proposing = [name for name in _PROPOSE if name in names]
    return np.unique(np.concatenate([top_items(features[name], seen, each) for name in proposing]))


def _behaviour(past: Past, known: Known, moment: float) -> dict[str, Floats]:
    items = len(known.count)
    together = known.together(past.liked, likes=True)
    plain = cosines(together, known.liked_count, past.liked, 0.0)
    shrunk = cosines(together, known.liked_count, past.liked, _SHRINK)
    had = cosines(known.together(past.items, likes=False), known.count, past.items, _SHRINK)
    tilt = past.ratings - (past.ratings.mean() if len(past.ratings) else 0.0)
    count = known.count[past.items]
    return {
        "users": np.log1p(known.count),
        "likes": np.log1p(known.liked_count),
        "mean_rating": (known.rating_sum + _PRIOR * known.mean) / (known.count + _PRIOR),
        "recent_share": _of_greatest(known.recent),
        "like_share": _of_greatest(known.liked_count),
        "age_days": (moment - known.first) / _DAY,
        "liked_together": _of_greatest(plain.sum(0)),
        "liked_together_shrunk": _of_greatest(shrunk.sum(0)),
        "liked_together_most": plain.max(0, initial=0.0),
        "liked_together_shrunk_most": shrunk.max(0, initial=0.0),
        "liked_together_last": _of_greatest(shrunk[-LAST:].sum(0)),
        "liked_together_decayed": _of_greatest(_decayed(shrunk, 0.9)),
        "had_together": _of_greatest(had.sum(0)),
        "had_together_last": _of_greatest(had[-LAST:].sum(0)),
        "had_together_decayed": _of_greatest(_decayed(had, 0.8)),
        "rated_together": (tilt[:, None] * had).sum(0) / (had.sum(0) + 0.1),
        "user_interactions": np.full(items, float(len(past.seen))),
        "user_like_share": np.full(items, past.like_share),
        "user_popularity": np.full(items, float(np.median(count)) if len(count) else 0.0),
    }


def _text(past: Past, known: Known, catalogue: Catalogue) -> dict[str, Floats]:
    liked = catalogue.likeness(past.liked)
    last = catalogue.likeness(past.items[-LAST:])
    tags, sizes = catalogue.tags, np.maximum(np.diff(catalogue.tags.indptr), 1.0)
    of_user = _mean_row(tags[past.liked])
    of_all = tags.T @ known.liked_count / max(known.liked_count.sum(), 1.0)
    lift = np.log((of_user + 0.05) / (of_all + 0.05))
    return {
        "words": liked.sum(1) / max(1, len(past.liked)),
        "words_most": liked.max(1, initial=0.0),
        "words_last": last.sum(1) / max(1, last.shape[1]),
        "tags": tags @ of_user / sizes,
        "tags_lift": tags @ lift,
        "tags_last": tags @ _mean_row(tags[past.items[-LAST:]]) / sizes,
    }


def _model(past: Past, vectors: Floats | np.ndarray, user_vector: Floats) -> dict[str, Floats]:
    # numpy's own loops, whose sums do not hang on a number of threads
    to_last = np.einsum("nd,kd->nk", vectors, vectors[past.liked[-LAST:]], dtype=np.float64)
    return {
        "similarity": np.einsum("nd,d->n", vectors, user_vector, dtype=np.float64),
        "similarity_most": to_last.max(1, initial=-1.0),
        "similarity_last": to_last.sum(1) / max(1, to_last.shape[1]),
    }


def _of_greatest(scores: Floats) -> Floats:
    greatest = float(scores.max(initial=0.0))
    return scores / greatest if greatest > 0 else scores


def _decayed(rows: Floats, factor: float) -> Floats:
    """Sum of rows, the last of weight 1 and each before it of `factor` times the next one's."""
    weights = factor ** np.arange(len(rows))[::-1]
    found: Floats = (weights[:, None] * rows).sum(0)
    return found


def _mean_row(rows: sparse.csr_matrix) -> Floats:
    found: Floats = np.asarray(rows.sum(0), np.float64).ravel() / max(1, rows.shape[0])
    return found
