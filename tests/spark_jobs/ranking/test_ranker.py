"""A ranker from rows to scored column: better than the text alone, the same again, of one model, whole or not there."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from mapring.contract import is_published, read_manifest
from mapring.contract.verify import verify
from mapring.errors import PublishedError, SettingsError, StageError
from mapring.plan import Plan, make_plan
from pipelines.stages import published, stages_of
from pipelines.status import ranker_rows
from spark_jobs import ranker as stage
from spark_jobs.ranker import ranker
from spark_jobs.ranking.published import PublishedRanker
from spark_jobs.score import score
from tests.tiny import sentence, write_world
from tests.tiny_model import publish_tiny_model

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

COLUMNS = "format: jsonl, group_column: query, feature_columns: [stars, sales]"


def made_lines(rows: int, seed: int) -> list[dict[str, Any]]:
    """Candidates of queries, eight each; how relevant one is hangs on its stars, which some lack."""
    chance = random.Random(seed)
    lines = []
    for number in range(rows):
        stars, sales = chance.random(), chance.randrange(1000)
        lines.append(
            {
                "text": sentence(number)[0],
                "query": f"q{number // 8}",
                "stars": None if number % 9 == 5 else stars,
                "sales": sales,
                "relevance": min(3, int(4 * stars)),
            }
        )
    return lines


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def plan_of(root: Path, *overrides: str) -> Plan:
    config, _ = write_world(root)
    lines = made_lines(400, 1)
    del lines[7]["relevance"]
    lines[11]["text"] = " "
    write_lines(root / "learn.jsonl", lines)
    write_lines(root / "new.jsonl", [*made_lines(40, 2), {"text": "", "query": "q", "stars": 1, "sales": 1}])
    return make_plan(
        config,
        [
            f"ranker.inputs=[{{name: l, path: {root}/learn.jsonl, {COLUMNS}, label_column: relevance}}]",
            *("ranker.rounds=40", "ranker.rows_per_leaf=5", "score.ranker=true"),
            f"score.inputs=[{{name: n, path: {root}/new.jsonl, {COLUMNS}}}]",
            *overrides,
        ],
    )


def publish_model(plan: Plan, root: Path) -> None:
    publish_tiny_model(plan.model_directory, root / "tokenizer", plan.model)


def test_a_ranker_is_better_than_the_text_alone_and_fills_its_column(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    publish_model(plan, tmp_path)
    assert stages_of(plan.settings) == ("preprocess", "train", "ranker", "score") and published("ranker", plan) is None
    with pytest.raises(StageError, match=r"found no ranker at .*; run `mapring ranker"):
        score(plan)
    ranker(plan)
    assert published("ranker", plan) == f"ranker {plan.ranker} is already published"
    manifest = read_manifest(plan.ranker_directory)
    found = manifest.details["evaluation"]
    assert found["rows"] == 398, "all but the one without a label and the one without a text"
    assert found["ndcg_at_10"] > found["text_ndcg_at_10"] + 0.05
    assert max(found["gain_share"], key=found["gain_share"].get) == "stars"
    assert verify(plan.ranker_directory) == []
    [row] = ranker_rows(plan)
    assert row[:3] == ("ranker", "published", plan.ranker) and "trees from 398 rows, NDCG@10" in row[-1]
    score(plan)
    rows = sorted(DeltaTable(plan.run.scores).to_pyarrow_table().to_pylist(), key=lambda row: row["record"])
    assert rows[-1]["error"] == "empty_text" and rows[-1]["rank_score"] is None
    assert all(row["probabilities"] is None for row in rows), "was not asked for"
    by_score = sorted(rows[:-1], key=lambda row: -row["rank_score"])
    with_stars = [row["features"][0] for row in by_score if row["features"][0] is not None]
    assert sum(with_stars[:10]) > 2 * sum(with_stars[-10:]), "those with many stars come first"
    plain = plan_of(tmp_path, "score.ranker=false")
    assert plain.score_settings != plan.score_settings and plain.ranker == plan.ranker
    other = plan_of(tmp_path, "ranker.leaves=5")
    assert other.ranker != plan.ranker and other.score_settings != plan.score_settings


def test_a_ranker_is_the_same_again_whatever_the_partitions_and_a_kill_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(tmp_path, "spark.partitions=1")
    publish_model(plan, tmp_path)
    with monkeypatch.context() as killed:
        killed.setattr(stage, "publish_ranker", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ranker(plan)
    assert not is_published(plan.ranker_directory) and list(Path(plan.ranker_directory, "rows").iterdir())
    ranker(plan)
    files = read_manifest(plan.ranker_directory).files
    again = plan_of(tmp_path, f"run_dir={tmp_path}/again", "spark.partitions=3", "spark.split_bytes=2048")
    publish_model(again, tmp_path)
    ranker(again)
    assert read_manifest(again.ranker_directory).files == files


def test_rankers_of_another_model_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    publish_model(plan, tmp_path)
    ranker(plan)
    directory = plan.ranker_directory
    PublishedRanker(directory, plan.model)
    with pytest.raises(PublishedError, match="expected one of 0000"):
        PublishedRanker(directory, "0" * 16)
    trees = next(Path(directory).glob("ranker-*.txt"))
    whole = trees.read_text()
    at = whole.index("leaf_value=") + len("leaf_value=")
    digit = next(place for place in range(at, len(whole)) if whole[place].isdigit() and whole[place] != "0")
    trees.write_text(f"{whole[:digit]}{'1' if whole[digit] != '1' else '2'}{whole[digit + 1 :]}")
    with pytest.raises(PublishedError, match="golden rows get other scores here"):
        PublishedRanker(directory, plan.model)
    assert any("checksum differs" in problem for problem in verify(directory))


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for words, match in (
        (["score.inputs.0.feature_columns=[sales]"], r"score.inputs.0.feature_columns: found \['sales'\], but"),
        (["ranker=null"], "score.ranker: found true without a ranker"),
        (["score.new_model=new_rows"], "score.new_model: found new_rows with score.ranker"),
        (["score=null"], "found it in a pipeline without score"),
        (["ranker.inputs.0.group_column=null"], "group_column: found none with objective=lambdarank"),
        (["ranker.inputs.0.label_column=null"], "label_column: found none"),
        (
            [
                "ranker.objective=regression",
                "ranker.inputs=[{name: l, path: l, format: jsonl, label_column: y, group_column: q}, "
                "{name: m, path: m, format: jsonl, label_column: y}]",
            ],
            "ranker: inputs: found some with group_column and some without",
        ),
    ):
        with pytest.raises(SettingsError, match=match):
            plan_of(tmp_path, *words)
    plan = plan_of(tmp_path, "ranker.label=nowhere")
    publish_model(plan, tmp_path)
    with pytest.raises(SettingsError, match=r"ranker.label: found 'nowhere', expected one of 'negative'"):
        ranker(plan)
