"""What docs/scores.md says of reading the table, done: pandas, Arrow, Spark without a JAR, Polars and DuckDB."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from mapring.plan import make_plan
from tests.pipelines.committed import commit_answers
from tests.tiny import write_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scores.md"


def test_every_reader_sees_the_rows_of_the_table(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    plan = make_plan(config)
    labels = ["positive", "negative", "positive"]
    commit_answers(plan, [{"label": label, "score": 0.9} for label in labels])
    spark = SparkSession.builder.master("local[2,4]").getOrCreate()
    names: dict[str, Any] = {"spark": spark}
    found: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for block in [block for block in blocks if "runs/demo/scores" in block or "duckdb" in block]:
        for line in block.replace("runs/demo/scores", plan.run.scores).splitlines():
            if re.match(r"(import|from|table =|scores =)", line) or not line:
                exec(line, names)
            else:
                found[re.sub(r"\W.*", "", line.split("(")[0].replace(".", "_"))] = eval(line, names)
    assert sorted(found["table_to_pandas"]["label"]) == sorted(labels)
    assert sorted(found["table_to_pyarrow_table"].column("label").to_pylist()) == sorted(labels)
    assert sorted(row["label"] for row in found["spark_read_parquet"].collect()) == sorted(labels)
    assert found["polars_scan_delta"]["label"].to_list() == ["positive", "positive"]
    assert sorted(found["duckdb_sql"].fetchall()) == [("negative", 1), ("positive", 2)]
