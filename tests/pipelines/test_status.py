"""`mapring status`: a row for each stage that a pipeline has."""

from __future__ import annotations

from pathlib import Path

from mapring.contract import Manifest, code_version, publish, utc_now, write_file
from mapring.plan import make_plan
from mapring.scores.ranked import ranked_directory
from mapring.scores.table import read_table
from pipelines.status import rank_rows
from tests.pipelines.committed import commit_answers
from tests.tiny import write_world


def test_a_ranking_has_a_row_that_tells_of_the_table_as_it_stands(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    assert rank_rows(make_plan(config)) == []
    plan = make_plan(config, ["rank={}"])
    assert rank_rows(plan) == [("rank", "not published", "", "", "")]
    commit_answers(plan, [{"label": "positive", "score": 0.9}, {"label": "negative", "score": 0.8}])
    table = read_table(plan.run.scores)
    assert table is not None
    directory = ranked_directory(plan, table)
    name = Path(directory).name
    assert rank_rows(plan) == [("rank", "not published", name, "", "table version 0")]
    file = write_file(directory, "data/ranked-00000.parquet", b"rows", 1)
    facts = {"created": utc_now(), "code_version": code_version(), "settings": {}, "inputs": (), "details": {}}
    publish(directory, Manifest(kind="ranked", fingerprint=name, files=(file,), **facts))
    [(stage, state, fingerprint, _, what)] = rank_rows(plan)
    assert (stage, state, fingerprint, what) == ("rank", "published", name, "1 rows of 2, table version 0")
    other = make_plan(config, ["rank={top_k: 3}"])
    assert rank_rows(other)[0][1] == "not published", "other settings are another ranking"
