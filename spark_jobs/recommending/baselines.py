"""What recommendations have to beat, on the same queries and items: popularity, item-kNN, and TF-IDF of item texts.

Each family has some forms; which one stands for it is chosen on the ranker's part of the time line, as the ranker is.
"""

from __future__ import annotations

import numpy as np

from spark_jobs.recommending.catalogue import Catalogue
from spark_jobs.recommending.events import Floats, Known, cosines
from spark_jobs.recommending.features import LAST, Past

FAMILIES = ("popularity", "item_knn", "tfidf")
_NEIGHBOURS = (20, 100, 0)  # 0 is all
_SHRINKS = (0.0, 10.0, 50.0)
_TIE = 1e-9  # popularity orders what nothing else does


def baseline_scores(
    past: Past, known: Known, catalogue: Catalogue, forms: frozenset[str] | None = None
) -> dict[str, Floats]:
    """Scores of all items (items,) by the forms that are asked for, all without any; named `family/form`."""
    likeness = catalogue.likeness(past.liked).sum(1)
    words = catalogue.likeness(past.items).sum(1)
    found = {
        "popularity/interactions": known.count,
        "popularity/likes": known.liked_count,
        "popularity/recent": known.recent + _TIE * known.count,
        "tfidf/liked": likeness,
        "tfidf/all": words,
        "tfidf/last": catalogue.likeness(past.liked[-LAST:]).sum(1),
        **_item_knn(past, known, forms),
    }
    return {form: scores for form, scores in found.items() if forms is None or form in forms}


def _item_knn(past: Past, known: Known, forms: frozenset[str] | None) -> dict[str, Floats]:
    """Sums of cosines with what the user liked, or had: neighbours of each item, shrinkage, and how much history."""
    found = {}
    for name, items, counts in (("liked", past.liked, known.liked_count), ("had", past.items, known.count)):
        together = known.together(items, likes=name == "liked")
        for shrink in _SHRINKS:
            if forms is not None and not any(form.startswith(f"item_knn/{name} shrink={shrink:g} ") for form in forms):
                continue
            similar = cosines(together, counts, items, shrink)
            for neighbours, kept in _nearest(similar).items():
                form = f"item_knn/{name} shrink={shrink:g} neighbours={neighbours or 'all'}"
                found[f"{form} history=all"] = kept.sum(0) + _TIE * known.count
                found[f"{form} history={LAST}"] = kept[-LAST:].sum(0) + _TIE * known.count
    return found


def _nearest(similar: Floats) -> dict[int, Floats]:
    """Each row's greatest numbers, the others 0, for each number of neighbours; 0 is all of them."""
    asked = [neighbours for neighbours in _NEIGHBOURS if 0 < neighbours < similar.shape[1]]
    found = dict.fromkeys(_NEIGHBOURS, similar)
    if asked:
        least = np.partition(similar, [-neighbours for neighbours in asked], axis=1)
        for neighbours in asked:
            found[neighbours] = np.where(similar >= np.maximum(least[:, [-neighbours]], _TIE), similar, 0.0)
    return found


def family(name: str) -> str:
    """The family of a form."""
    return name.partition("/")[0]
