"""Recommendations on the page: figures beside the baselines, and nothing where a pipeline recommends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapring.contract import FileEntry, Manifest, code_version, publish, utc_now
from mapring.plan import Plan
from pipelines.report import write_report
from pipelines.report_recommendations import draw_recommendations, gather_recommendations, interval_of_mean
from tests.pipelines.test_report import Page
from tests.spark_jobs.recommending.test_recommend import plan_of

KNN = "item_knn/liked shrink=50"


def figures(value: float) -> dict[str, float]:
    return {"ndcg_at_10": value, "hr_at_10": 4 * value, "coverage": value / 2}


def publish_trees(plan: Plan, ours: list[float], **more: Any) -> None:
    """Trees with gains of four moments."""
    evaluation = {
        "test": {"moments": 4, "items": 50, **figures(float(np.mean(ours)))},
        "baselines": {
            "popularity": {"form": "popularity/likes", **figures(0.1)},
            "item_knn": {"form": KNN, **figures(0.25)},
        },
        "gains": {"ours": ours, KNN: [0.0, 0.0, 0.5, 0.5], "popularity/likes": [0.0, 0.0, 0.2, 0.2]},
        "gain_share": {"likes": 0.25, "liked_together_<b>": 0.75, "age_days": 0.0},
        "bounds": {"ranker_from": 1.0, "test_from": 1376822969.0},
        **more,
    }
    facts = {"created": utc_now(), "code_version": code_version(), "settings": {}, "inputs": ()}
    details = {"evaluation": evaluation}
    trees = Manifest(kind="ranker", fingerprint=str(plan.recommender), files=(), details=details, **facts)
    publish(plan.recommender_directory, trees)
    counts = {"users": 20, "items": 50, "interactions": 1234, "left_out": {}}
    entry = FileEntry(path="data/lists-0.parquet", sha256="0" * 64, bytes=1, rows=200)
    lists = Manifest(
        kind="recommendations",
        fingerprint=str(plan.recommendations),
        files=(entry,),
        details={"counts": counts},
        **facts,
    )
    publish(plan.recommendations_directory, lists)


def page_of(plan: Plan) -> tuple[Page, str]:
    write_report(plan)
    html = Path(plan.run.report).read_text()
    return Page(html), html


def test_lists_stand_beside_the_baselines_from_the_best(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    publish_trees(plan, [0.5, 0.5, 1.0, 1.0], test_before_reranking=figures(0.3))
    found = gather_recommendations(plan)
    assert found is not None and found.rows == 200 and str(found.tested_from) == "2013-08-18"
    names = ["these lists", "before a model read the pairs", "item-kNN", "what is liked most"]
    assert [name for name, _ in found.orders] == names
    assert found.gained == pytest.approx((0.5, 0.5)), "the gain is the same at each moment"
    page, html = page_of(plan)
    assert "recommendations" in page.ids and "#recommendations" in page.links
    assert "200 items for 20 users, of 50 items and" in page.text and "0.500 to 0.500" in page.text
    assert "do not tell that the lists are better" not in page.text
    assert "together <b>" not in html and "liked together &lt;b&gt;" in html
    assert draw_recommendations(found).count('class="bar"') == 2


def test_a_gain_that_chance_may_have_made_is_said_to_be_one(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    publish_trees(plan, [0.0, 1.0, 0.0, 0.2])
    page, _ = page_of(plan)
    assert "these moments do not tell that the lists are better" in page.text


def test_what_is_not_made_yet_is_said(tmp_path: Path) -> None:
    page, _ = page_of(plan_of(tmp_path))
    assert f"There are no recommendations yet: mapring recommend {plan_of(tmp_path).config}" in page.text


def test_the_interval_of_a_mean_holds_it_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        low, high = interval_of_mean(random.exponential(1.0, 80))
        held += low <= 1.0 <= high
    assert 176 <= held <= 199
