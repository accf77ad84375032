"""Groups: a stream of batches is cut where the group changes, wherever the batches were cut."""

from __future__ import annotations

from itertools import groupby, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from mapring.contract import content_name, write_file
from spark_jobs.tables import groups, parquet_bytes


@given(
    sizes=st.lists(st.integers(1, 5), max_size=8),
    cuts=st.lists(st.integers(0, 40), max_size=6),
)
def test_groups_do_not_depend_on_the_batches(sizes: list[int], cuts: list[int]) -> None:
    names = [f"g{index:02d}" for index, size in enumerate(sizes) for _ in range(size)]
    table = pa.table({"file_group": pa.array(names, pa.string()), "value": pa.array(range(len(names)), pa.int64())})
    edges = sorted({0, len(names), *(cut for cut in cuts if cut < len(names))})
    batches = [batch for start, end in pairwise(edges) for batch in table.slice(start, end - start).to_batches()]
    found = [(name, part.column("value").to_pylist()) for name, part in groups(batches)]
    expected = [
        (name, [value for _, value in rows])
        for name, rows in groupby(zip(names, range(len(names)), strict=True), key=lambda row: row[0])
    ]
    assert found == expected


def test_empty_batches_are_passed_over() -> None:
    empty = pa.RecordBatch.from_pydict({"file_group": pa.array([], pa.string()), "value": pa.array([], pa.int64())})
    assert list(groups([empty])) == []


def test_equal_tables_make_equal_bytes_and_names(tmp_path: Path) -> None:
    table = pa.table({"value": list(range(100))})
    content = parquet_bytes(table, 10)
    assert content == parquet_bytes(pa.concat_tables([table.slice(0, 30), table.slice(30)]), 10)
    entry = write_file(str(tmp_path), content_name("part", content, ".parquet"), content, 100)
    assert pq.read_metadata(tmp_path / entry.path).num_row_groups == 10
