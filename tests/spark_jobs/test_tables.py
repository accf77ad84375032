"""Files: a stream of batches is cut where the file changes, wherever the batches were cut."""

from __future__ import annotations

from itertools import groupby, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from mapring.contract import content_name, write_file
from spark_jobs import tables
from spark_jobs.tables import parquet_bytes, spread_to_files, tables_of_files


@given(
    sizes=st.lists(st.integers(1, 5), max_size=8),
    cuts=st.lists(st.integers(0, 40), max_size=6),
)
def test_tables_of_files_do_not_depend_on_the_batches(sizes: list[int], cuts: list[int]) -> None:
    names = [index for index, size in enumerate(sizes) for _ in range(size)]
    table = pa.table({"file": pa.array(names, pa.int32()), "value": pa.array(range(len(names)), pa.int64())})
    edges = sorted({0, len(names), *(cut for cut in cuts if cut < len(names))})
    batches = [batch for start, end in pairwise(edges) for batch in table.slice(start, end - start).to_batches()]
    found = [(name, part.column("value").to_pylist()) for name, part in tables_of_files(batches)]
    expected = [
        (name, [value for _, value in rows])
        for name, rows in groupby(zip(names, range(len(names)), strict=True), key=lambda row: row[0])
    ]
    assert found == expected


def test_empty_batches_are_passed_over() -> None:
    empty = pa.RecordBatch.from_pydict({"file": pa.array([], pa.int32()), "value": pa.array([], pa.int64())})
    assert list(tables_of_files([empty])) == []


@pytest.mark.usefixtures("spark_session_stopped_at_end")
@pytest.mark.parametrize(("most_tasks", "expected_tasks"), [(10_000, 5), (2, 2)])
def test_rows_of_a_file_are_in_one_task_and_in_order(
    monkeypatch: pytest.MonkeyPatch, most_tasks: int, expected_tasks: int
) -> None:
    monkeypatch.setattr(tables, "_MOST_TASKS", most_tasks)
    spark = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()
    rows = spark.range(100).select(F.col("id"), F.pmod(F.lit(100) - F.col("id"), F.lit(7)).alias("place"))
    spread = spread_to_files(rows, F.pmod("id", F.lit(5)), 5, "place", "id")
    tasks = [[tuple(row) for row in task] for task in spread.rdd.glom().collect()]
    assert len(tasks) == expected_tasks and sum(map(len, tasks)) == 100
    for number in range(5):
        [of_task] = [task for task in tasks if any(file == number for _, _, file in task)]
        places = [place for place, row in enumerate(of_task) if row[2] == number]
        assert places == list(range(places[0], places[0] + 20))  # consecutive: its table is cut once
        keys = [of_task[place][1::-1] for place in places]
        assert keys == sorted(keys)


def test_equal_tables_make_equal_bytes_and_names(tmp_path: Path) -> None:
    table = pa.table({"value": list(range(100))})
    content = parquet_bytes(table, 10)
    assert content == parquet_bytes(pa.concat_tables([table.slice(0, 30), table.slice(30)]), 10)
    entry = write_file(str(tmp_path), content_name("part", content, ".parquet"), content, 100)
    assert pq.read_metadata(tmp_path / entry.path).num_row_groups == 10


def test_the_same_rows_make_the_same_bytes_however_they_came() -> None:
    texts = [f"{number:04d} " + "a text of three thousand characters " * 85 for number in range(1200)]
    whole = pa.table({"text": texts})
    found = [
        parquet_bytes(pa.concat_tables([whole.slice(start, rows) for start in range(0, len(texts), rows)]), 4096)
        for rows in (1200, 300, 7)
    ]
    assert found[0] == found[1] == found[2]
