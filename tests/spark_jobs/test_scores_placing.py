"""Equal texts meet in a file and are computed once; a text with very many rows makes no file large."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from mapring.scores.table import latest_commit
from mapring.settings.answers import Answers
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import Predictor
from spark_jobs.scores_placing import place_rows, rows_of_a_text
from tests.spark_jobs.scored_world import World

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

ROWS, FILES = 4000, 8
ROWS_PER_FILE = ROWS // FILES


def test_half_of_all_rows_being_one_text_makes_no_file_large() -> None:
    spark = SparkSession.builder.master("local[2]").getOrCreate()
    texts = ["same" if number % 2 else f"text {number // 8}" for number in range(ROWS)]
    texts[8::40] = [None] * len(texts[8::40])  # type: ignore[list-item]
    rows = [("big", "b", f"{number}", text) for number, text in enumerate(texts)] + [("small", "s", "x", "same")] * 9
    records = spark.createDataFrame(rows, "source string, path string, doc_id string, content_hash string")
    records = records.repartition(5)
    inputs = pa.table({"source": ["big", "small"], "path": ["b", "s"], "first": [0, FILES], "files": [FILES, 1]})
    most = rows_of_a_text(ROWS_PER_FILE)
    found = place_rows(records, inputs, most).collect()
    again = place_rows(records.repartition(3), inputs, most).collect()
    assert sorted((row["doc_id"], row["file"]) for row in found) == sorted(
        (row["doc_id"], row["file"]) for row in again
    )
    assert {row["file"] for row in found if row["source"] == "small"} == {FILES}
    big = [row for row in found if row["source"] == "big"]
    sizes = Counter(row["file"] for row in big)
    assert sorted(sizes) == list(range(FILES)) and max(sizes.values()) < 1.4 * ROWS_PER_FILE
    files_of: dict[str, set[int]] = {}
    for row in big:
        files_of.setdefault(row["content_hash"], set()).add(row["file"])
    files_of.pop(None)  # type: ignore[arg-type]
    assert len(files_of.pop("same")) == FILES
    assert {len(files) for files in files_of.values()} == {1}, "the rows of any other text are together"


def test_a_text_of_some_rows_is_dealt_out_over_as_few_files_as_needed() -> None:
    spark = SparkSession.builder.master("local[2]").getOrCreate()
    rows = [("big", "b", f"{number}", f"text {number // 100}") for number in range(ROWS)]
    records = spark.createDataFrame(rows, "source string, path string, doc_id string, content_hash string")
    inputs = pa.table({"source": ["big"], "path": ["b"], "first": [0], "files": [FILES]})
    found = place_rows(records, inputs, 50).collect()
    files_of: dict[str, set[int]] = {}
    for row in found:
        files_of.setdefault(row["content_hash"], set()).add(row["file"])
    assert {len(files) for files in files_of.values()} == {2}


@pytest.mark.parametrize("partitions", [1, 5])
def test_duplicates_have_the_scores_of_their_text_in_any_partitioning(
    tmp_path: Path, partitions: int, capfd: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path)
    path = world.add("twice", 40)
    path.write_text(path.read_text() * 3 + "\n" * 4 + "good film\n" * 80)
    lines = path.read_text().splitlines()
    rows = world.score(f"spark.partitions={partitions}", "score.rows_per_file=70", "score.max_quarantined_share=1")
    found = [row for row in rows if row["path"] == "twice.txt"]
    assert [row["record"] for row in found] == list(range(1, 205))
    expected, _ = predict_columns(Predictor(world.plan().model_directory), lines, Answers())
    assert [row["label"] for row in found] == expected["label"]
    assert [row["error"] for row in found] == expected["error"]
    scored = [(row["score"], score) for row, score in zip(found, expected["score"], strict=True) if score is not None]
    assert all(one == pytest.approx(other, abs=1e-5) for one, other in scored)
    files = DeltaTable(world.plan().run.scores).to_pyarrow_dataset().get_fragments()
    sizes = [fragment.count_rows() for fragment in files]
    assert sum(sizes) == 234 and max(sizes) <= 110, "80 rows of one text are in several files"
    commit = latest_commit(world.plan().run.scores)
    assert commit is not None
    counts = commit.counts
    assert counts["scored"] == 230 == counts["computed"] + counts["fanned_out"]
    assert counts["fanned_out"] >= 100
    assert f"({counts['fanned_out']:,} as an equal text)" in capfd.readouterr().err
