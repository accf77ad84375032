"""Time, group, features and content hash of scored rows, from every format; what cannot be read is told and counted."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from mapring.errors import InputError, SettingsError
from mapring.plan import Plan, make_plan
from mapring.scores.table import latest_commit
from spark_jobs.records import document_id
from spark_jobs.score import score
from tests.tiny import write_world
from tests.tiny_model import publish_tiny_model

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

NOON = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
ROWS: list[dict[str, Any]] = [
    {"text": "good film", "when": NOON, "who": "ann", "stars": 4.5, "verified": True},
    {"text": "good  film", "when": NOON + datetime.timedelta(hours=1), "who": " ", "stars": None, "verified": False},
    {"text": "awful day", "when": None, "who": "bob", "stars": -1.0, "verified": None},
    {"text": "", "when": NOON, "who": "bob", "stars": 0.0, "verified": True},
]
CARRIED = {"time_column": "when", "group_column": "who", "feature_columns": ["stars", "verified"]}


def _texts(row: dict[str, Any]) -> list[str]:
    texts = [row["text"], row["when"].isoformat() if row["when"] else "", row["who"]]
    return [*texts, *("" if row[name] is None else str(row[name]) for name in ("stars", "verified"))]


def write_inputs(root: Path) -> list[dict[str, Any]]:
    """The same four rows in every format that has columns."""
    files = {
        "csv": "\n".join([",".join(ROWS[0]), *(",".join(_texts(row)) for row in ROWS)]) + "\n",
        "tsv": "\n".join(["\t".join(ROWS[0]), *("\t".join(_texts(row)) for row in ROWS)]) + "\n",
        "jsonl": "".join(
            json.dumps({**row, "when": row["when"].timestamp() if row["when"] else None}) + "\n" for row in ROWS
        ),
    }
    for name, content in files.items():
        (root / f"in.{name}").write_text(content)
    pq.write_table(pa.Table.from_pylist(ROWS), root / "in.parquet")
    return [{"name": name, "path": str(root / f"in.{name}"), "format": name, **CARRIED} for name in (*files, "parquet")]


def plan_of(root: Path, inputs: list[dict[str, Any]], *overrides: str) -> Plan:
    config, _ = write_world(root)
    (root / "unseen.txt").write_text("good film\n")
    plan = make_plan(config, [f"score.inputs={json.dumps(inputs)}", *overrides])
    publish_tiny_model(plan.model_directory, root / "tokenizer", plan.model)
    return plan


def rows(plan: Plan) -> list[dict[str, Any]]:
    found = DeltaTable(plan.run.scores).to_pyarrow_table().to_pylist()
    return sorted(found, key=lambda row: (row["source"], row["record"]))


def test_every_format_carries_the_same(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path)
    plan = plan_of(tmp_path, inputs)
    score(plan)
    found = rows(plan)
    hashes = [*map(document_id, ("good film", "good film", "awful day")), None]  # a blank text has none
    for source in ("csv", "jsonl", "parquet", "tsv"):
        own = [row for row in found if row["source"] == source]
        assert [row["time"] for row in own] == [NOON, NOON + datetime.timedelta(hours=1), None, NOON], source
        assert [row["group"] for row in own] == ["ann", None, "bob", "bob"], source
        assert [row["features"] for row in own] == [[4.5, 1.0], [None, 0.0], [-1.0, None], [0.0, 1.0]], source
        assert [row["content_hash"] for row in own] == hashes, source
    commit = latest_commit(plan.run.scores)
    assert commit is not None and commit.counts["unread"] == {}


def test_an_input_without_columns_has_nulls_and_a_hash(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, [{"name": "t", "path": str(tmp_path / "unseen.txt"), "format": "text"}])
    score(plan)
    [row] = rows(plan)
    assert (row["time"], row["group"], row["features"]) == (None, None, None)
    assert row["content_hash"] == document_id("good film")


def test_what_cannot_be_read_is_null_counted_and_told_and_too_much_of_it_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [{"text": f"good {number}", "when": "2026-01-31", "stars": number} for number in range(20)]
    lines[3]["when"] = "20260131"
    lines[5]["stars"], lines[6]["stars"] = "many", [1]  # type: ignore[assignment]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = {"time_column": "when", "feature_columns": ["stars"]}
    plan = plan_of(
        tmp_path,
        [{"name": "j", "path": str(tmp_path / "in.jsonl"), "format": "jsonl", **given}],
        "score.max_quarantined_share=0.1",
    )
    score(plan)
    told = capfd.readouterr().err
    assert "1 of 20 values of time (5.0%) cannot be read, such as '20260131'; they are null in the table" in told
    assert "2 of 20 values of features (10.0%) cannot be read, such as '[1]'" in told
    found = rows(plan)
    assert [row["record"] for row in found if row["time"] is None] == [4]
    assert [row["record"] for row in found if row["features"] == [None]] == [6, 7]
    assert all(row["error"] is None for row in found)
    commit = latest_commit(plan.run.scores)
    assert commit is not None and commit.counts["unread"] == {"time": 1, "features": 2}
    strict = make_plan(plan.config, [*plan.overrides, "score.rescore=true", "score.max_quarantined_share=0.05"])
    with pytest.raises(InputError, match=r"2 of 20 values of features .*expected numbers, .*Correct feature_columns"):
        score(strict)


def test_columns_that_are_not_there_or_mean_other_things_are_refused(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path)
    with pytest.raises(SettingsError, match=r"score\.inputs\.0\.feature_columns: .* has no column 'star'; it has"):
        plan_of(tmp_path, [{**inputs[0], "feature_columns": ["star"]}])
    with pytest.raises(SettingsError, match=r"inputs\.1\.feature_columns: found \['verified', 'stars'\], but 'csv'"):
        plan_of(tmp_path, [inputs[0], {**inputs[1], "feature_columns": ["verified", "stars"]}])
    with pytest.raises(SettingsError, match=r"feature_columns: found 'stars' twice"):
        plan_of(tmp_path, [{**inputs[0], "feature_columns": ["stars", "stars"]}])
    with pytest.raises(SettingsError, match=r"preprocess.*inputs\.1\.feature_columns: .*preprocessing does not use it"):
        plan_of(tmp_path, inputs, 'preprocess.inputs.1.feature_columns=["x"]')


def test_other_columns_to_carry_score_an_input_again_and_leave_the_shards_as_they_are(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path)[:1]
    plan = plan_of(tmp_path, inputs)
    other = make_plan(plan.config, ["score.inputs=" + json.dumps([{**inputs[0], "feature_columns": ["stars"]}])])
    assert (other.shards, other.model) == (plan.shards, plan.model)
    assert other.score_settings != plan.score_settings
