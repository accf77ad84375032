"""Texts about several groups: a row of the scores table for each, found by name, counted, ranked and forgotten."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from mapring.errors import SettingsError
from mapring.plan import Plan, make_plan
from mapring.settings import Settings
from spark_jobs import forget, rank
from spark_jobs.score import score
from tests.tiny import write_world
from tests.tiny_model import publish_tiny_model

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

TEXTS = ["good film of Acme", "awful day for Acme and Nokia", "good day", "", "ACME Film"]
GROUPS = {"ACME": ["Acme"], "NOK": ["Nokia", "nokia corp."], "film": ["film"]}
FOUND = [["ACME", "film"], ["ACME", "NOK"], [None], [None], ["film"]]


def plan_of(root: Path, *overrides: str, groups: dict[str, list[str]] = GROUPS) -> Plan:
    config, _ = write_world(root)
    lines = [{"id": f"n{place}", "text": text} for place, text in enumerate(TEXTS)]
    (root / "news.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    inputs = [{"name": "news", "path": str(root / "news.jsonl"), "format": "jsonl", "id_column": "id"}]
    words = [f"score.inputs={json.dumps(inputs)}", f"score.groups={json.dumps(groups)}", *overrides]
    plan = make_plan(config, words)
    publish_tiny_model(plan.model_directory, root / "tokenizer", plan.model)
    return plan


def rows_of(plan: Plan) -> list[dict[str, Any]]:
    found = DeltaTable(plan.run.scores).to_pyarrow_table().to_pylist()
    return sorted(found, key=lambda row: (row["record"], row["group"] or ""))


def test_a_text_has_a_row_for_each_group_that_it_names(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    score(plan)
    rows = rows_of(plan)
    assert [(row["record"], row["group"]) for row in rows] == [
        (record, group) for record, groups in enumerate(FOUND, start=rows[0]["record"]) for group in groups
    ]
    for row, other in pairwise(rows):
        if row["record"] == other["record"]:  # one document, and one answer
            same = ("doc_id", "source_id", "content_hash", "label", "score", "error")
            assert [row[name] for name in same] == [other[name] for name in same]
    assert len({row["doc_id"] for row in rows}) == len(TEXTS)


def test_another_list_scores_again_and_the_same_one_does_not(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    score(plan)
    score(plan)
    assert DeltaTable(plan.run.scores).version() == 0 and len(rows_of(plan)) == 7
    other = plan_of(tmp_path, groups={"NOK": ["Nokia"]})
    score(other)
    assert [row["group"] for row in rows_of(other)] == [None, "NOK", None, None, None]


def test_a_ranking_has_each_row_once(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "rank={by: score, one_per_text: false}")
    score(plan)
    rank.rank(plan)
    [directory] = (Path(plan.run.root) / "ranked").iterdir()
    import pyarrow.dataset as ds

    ranked = ds.dataset(sorted(str(path) for path in directory.rglob("*.parquet"))).to_table().to_pylist()
    scored = [row for row in rows_of(plan) if row["error"] is None]
    assert sorted((row["doc_id"], row["group"] or "") for row in ranked) == sorted(
        (row["doc_id"], row["group"] or "") for row in scored
    )
    assert sorted(row["rank"] for row in ranked) == list(range(1, len(scored) + 1))


def test_all_rows_of_a_forgotten_document_go(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    score(plan)
    [doc_id] = {row["doc_id"] for row in rows_of(plan) if row["source_id"] == "n1"}
    forget.forget(plan, [doc_id])
    score(plan)
    assert "n1" not in {row["source_id"] for row in rows_of(plan)} and len(rows_of(plan)) == 5


def settings_of(root: Path, *words: str) -> Settings:
    config, _ = write_world(root)
    return make_plan(config, list(words)).settings


@pytest.mark.parametrize("groups", ['{"": [Acme]}', "{ACME: []}", "{ACME: [Acme, ' ']}"])
def test_a_group_has_a_name(tmp_path: Path, groups: str) -> None:
    with pytest.raises(SettingsError, match=r"score\.groups: found .* expected a group and names of it"):
        settings_of(tmp_path, f"score.groups={groups}")


def test_groups_come_from_one_place(tmp_path: Path) -> None:
    text = "{name: unseen, path: in.csv, format: csv, group_column: who}"
    with pytest.raises(SettingsError, match="found them beside group_column='who' of the input 'unseen'"):
        settings_of(tmp_path, f"score.inputs=[{text}]", "score.groups={ACME: [Acme]}")


def test_found_groups_can_be_counted(tmp_path: Path) -> None:
    assert settings_of(tmp_path, "watch.by_group=true", "score.groups={ACME: [Acme]}").watch.by_group
    with pytest.raises(SettingsError, match=r"and score\.groups is empty"):
        settings_of(tmp_path, "watch.by_group=true")
