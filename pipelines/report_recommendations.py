"""Recommendations on the page: how good the lists are beside the baselines, and what the trees look at."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mapring.contract import Manifest, is_published, read_manifest
from mapring.plan import Plan
from pipelines import plots

_OURS, _BEFORE, _WITHOUT_MODEL = "ours", "before_reranking", "reranked_without_model"  # forms of an evaluation
_NAMES = {
    _OURS: "these lists",
    _BEFORE: "before a model read the pairs",
    _WITHOUT_MODEL: "in that order, without what it said",
    "popularity": "what is liked most",
    "item_knn": "item-kNN",
    "tfidf": "TF-IDF of the items' texts",
}
_MOST_FEATURES = 12
_DRAWS, _SEED = 2000, 17  # of the bootstrap; with others its ends move by some 3 % of their distance from the mean


@dataclass(frozen=True, kw_only=True)
class Recommendations:
    """What is published of a pipeline that recommends.

    `lists` are None where only the trees are there. `orders` are names and figures: ours first, then the baselines from
    the best. `gained` are the ends of the 95 % interval of our NDCG@10 less that of the best baseline.
    """

    trees: Manifest
    lists: Manifest | None
    orders: Sequence[tuple[str, Mapping[str, float]]]
    best: str
    gained: tuple[float, float]
    tested_from: datetime.date

    @property
    def rows(self) -> int:
        """Items in all lists."""
        return 0 if self.lists is None else sum(entry.rows or 0 for entry in self.lists.files_below("data"))


def gather_recommendations(plan: Plan) -> Recommendations | None:
    """What is published of a plan's recommendations; None where it has none, or they are not made yet."""
    if plan.settings.recommend is None or not is_published(plan.recommender_directory):
        return None
    trees = read_manifest(plan.recommender_directory)
    there = is_published(plan.recommendations_directory)
    found = trees.details["evaluation"]
    baselines = sorted(found["baselines"].items(), key=lambda item: -item[1]["ndcg_at_10"])
    own = [(form, found[f"test_{form}"]) for form in (_WITHOUT_MODEL, _BEFORE) if f"test_{form}" in found]
    best, of_best = baselines[0]
    gains = found["gains"]
    return Recommendations(
        trees=trees,
        lists=read_manifest(plan.recommendations_directory) if there else None,
        orders=[(_NAMES.get(name, name), figures) for name, figures in [(_OURS, found["test"]), *own, *baselines]],
        best=_NAMES.get(best, best),
        gained=interval_of_mean(np.subtract(gains[_OURS], gains[of_best["form"]])),
        tested_from=datetime.datetime.fromtimestamp(found["bounds"]["test_from"], datetime.UTC).date(),
    )


def interval_of_mean(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The ends of the 95 % interval of a mean of shape (moments,), by a percentile bootstrap (Efron 1979)."""
    draws = np.random.default_rng(_SEED).integers(0, len(differences), (_DRAWS, len(differences)))
    low, high = np.quantile(differences[draws].mean(1), (0.025, 0.975))
    return float(low), float(high)


def draw_recommendations(found: Recommendations) -> str:
    """SVG of what the trees look at: shares of what their splits gain, the largest first; empty where none do."""
    shares: Mapping[str, Any] = found.trees.details["evaluation"]["gain_share"]
    largest = sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:_MOST_FEATURES]
    bars = [
        plots.Bar(str(place), share, f"{place}. {name}: {100 * share:.1f} %")
        for place, (name, share) in enumerate(largest, start=1)
        if share > 0
    ]
    return plots.bar_chart(bars, title="What the trees look at", x_label="feature, see the table", y_label="share")
