"""Texts about several groups: a row of the scores table for each, found by name, counted, ranked and forgotten."""

from __future__ import annotations

import datetime
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from mapring.errors import InputError, SettingsError
from mapring.plan import Plan, make_plan
from mapring.settings import Settings
from mapring.settings.normalization import Normalization
from pipelines.alerting.examples import find_places
from spark_jobs import forget, rank
from spark_jobs.carried import SCORED_RECORD
from spark_jobs.found_groups import groups_finder
from spark_jobs.score import score
from tests.mapring.watch.counts import surge_of_label
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


def test_shares_are_of_records_and_not_of_their_rows(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "score.max_quarantined_share=0.2")
    with (tmp_path / "news.jsonl").open("a") as handle:
        handle.write("{\n{\n")  # 2 of 7 records, and of 9 rows
    with pytest.raises(InputError, match=r"28\.6%"):
        score(make_plan(plan.config, plan.overrides))


def test_names_are_normalized_as_texts_are_but_not_redacted() -> None:
    normalization = Normalization(lowercase=True, redact=("email",))
    find = groups_finder({"ACME": ["ACME  Corp", "sales@acme.com"]}, normalization)
    texts = ["acme corp", "write to <email>", None, "sales@acme.com"]
    columns = {field.name: pa.nulls(len(texts), field.type) for field in SCORED_RECORD} | {"text": pa.array(texts)}
    batch = pa.RecordBatch.from_arrays([columns[name] for name in SCORED_RECORD.names], schema=SCORED_RECORD)
    assert find(batch).column("groups").to_pylist() == [["ACME"], [], [], ["ACME"]]


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


def test_a_text_of_several_groups_is_one_example_of_an_alert(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, groups={"ACME": ["Acme"], "NOK": ["Nokia"], "day": ["day"]})
    lines = [json.dumps({"text": text, "at": "2026-03-02T01:00:00Z"}) for text in (*TEXTS[1:2], "sad day", "good day")]
    (tmp_path / "news.jsonl").write_text("\n".join(lines) + "\n")
    plan = make_plan(plan.config, [*plan.overrides, "score.inputs.0.time_column=at", "score.inputs.0.id_column=null"])
    score(plan)
    rows = rows_of(plan)
    start = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
    end = start + datetime.timedelta(days=1)
    finding = surge_of_label(rows[0]["label"], "news", start, end, model=rows[0]["model_fingerprint"])
    own = {row["record"] for row in rows if row["label"] == rows[0]["label"]}
    found = [place["record"] for place in find_places(plan.run.scores, finding, 3)]
    assert len(rows) == 5 and len(found) == len(own) and set(found) == own


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
