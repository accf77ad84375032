"""The financial application: its queries on a table, its config, and all of it on made-up texts (slow)."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from deltalake import DeltaTable, write_deltalake

from benchmarks.applications import financial
from mapring.settings import load_settings
from pipelines.alerting.records import read_log
from tests.tiny import write_tokenizer

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/financial_opinion.md").read_text()
CONFIG = ROOT / "conf/financial_opinion.yaml"
DAY = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
Rows = list[tuple[Any, ...]]


@pytest.fixture
def scores(tmp_path: Path) -> str:
    """A table of two files with texts of two entities and of none on two days, some without a label or a time."""
    rows = [("ACME", 0, "negative")] * 3 + [("ACME", 0, "positive")] + [("ACME", 30, "neutral")]
    rows += [("Bolt", 5, "positive")] * 2 + [(None, 6, "positive"), ("Bolt", 7, None), ("Bolt", None, "negative")]
    values = {
        "group": pa.array([group for group, _, _ in rows]),
        "time": pa.array(
            [None if hour is None else DAY + datetime.timedelta(hours=hour, minutes=59) for _, hour, _ in rows],
            pa.timestamp("us", "UTC"),
        ),
        "label": pa.array([label for _, _, label in rows]),
    }
    path = str(tmp_path / "scores")
    table = pa.table(values)
    write_deltalake(path, table.slice(0, 4))
    write_deltalake(path, table.slice(4), mode="append")
    return path


EXPECTED = [
    (None, 0, 1, 0.0, 0.0, 1.0, 1.0),
    ("ACME", 0, 4, 0.75, 0.0, 0.25, -0.5),
    ("ACME", 1, 1, 0.0, 1.0, 0.0, 0.0),
    ("Bolt", 0, 2, 0.0, 0.0, 1.0, 1.0),
]


def run_blocks(scores: str, which: str, **given: Any) -> dict[str, Any]:
    """Run the page's query, the block that opens the table, and the block that holds a word."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    query, opening, *_ = blocks
    [chosen] = [block for block in blocks if which in block]
    names = dict(given)
    for block in [query, chosen] if chosen is opening else [query, opening, chosen]:
        exec(block.replace("runs/financial_opinion/scores", scores), names)
    return names


def told(rows: Rows) -> Rows:
    """With the number of the day, in the order of entities and days."""
    numbered = [(row[0], (row[1].date() - DAY.date()).days, *row[2:]) for row in rows]
    return sorted(numbered, key=lambda row: (row[0] or "", row[1]))


def test_opinion_by_duckdb(scores: str) -> None:
    opinion = run_blocks(scores, "duckdb.sql(OPINION)")["opinion"]
    assert told([tuple(row) for row in opinion.replace({np.nan: None}).itertuples(index=False)]) == EXPECTED


@pytest.mark.usefixtures("spark_session_stopped_at_end")
def test_opinion_by_spark(scores: str) -> None:
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()
    opinion = run_blocks(scores, "spark.sql", spark=spark)["opinion"]
    assert told([tuple(row) for row in opinion.collect()]) == EXPECTED


def test_the_config_says_where_the_page_puts_files() -> None:
    settings = load_settings(str(CONFIG))
    assert settings.score is not None and settings.watch.by_group
    labelled, stream = settings.preprocess.inputs[0], settings.score.inputs[0]
    assert f"{Path(labelled.path).parent}/" in PAGE and f"{Path(stream.path).parent}/" in PAGE
    columns = re.findall(r"^\| .*\| `(\w+)` \| ", PAGE, re.MULTILINE)
    named = [labelled.text_column, labelled.label_column, stream.id_column, stream.time_column]
    assert columns == [*named, stream.group_column, stream.text_column]


def test_the_benchmark_trains_what_the_config_trains(tmp_path: Path) -> None:
    values = {"name": "phrasebank", "run_dir": str(tmp_path), **financial._values(tmp_path / "some.csv")}
    config = tmp_path / "phrasebank.yaml"
    config.write_text(yaml.safe_dump(values))
    found, expected = load_settings(str(config)), load_settings(str(CONFIG))
    assert found.train == expected.train and found.seed == expected.seed
    assert found.preprocess.inputs[0].path == str(tmp_path / "some.csv")
    assert found.preprocess.splits == expected.preprocess.splits


WORDS = {
    "negative": ("loss", "falls", "warning", "lawsuit"),
    "neutral": ("meeting", "office", "report", "board"),
    "positive": ("profit", "rises", "record", "award"),
}


def sentence(random: np.random.Generator, label: str, number: int) -> str:
    """A text of its own that a bag of words can tell."""
    return f"{random.choice(WORDS[label])} {random.choice(WORDS[label])} of unit {number} at plant {number * 7 % 1000}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_files_to_an_alert_that_names_the_entity(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    data = tmp_path / "data"
    (data / "stream").mkdir(parents=True)
    labels = list(WORDS)
    lines = [f'"{sentence(random, label, number)}",{label}' for number in range(400) for label in labels]
    (data / "labelled.csv").write_text("\n".join(["sentence,label", *lines]) + "\n")
    days = 10
    for day in range(days):
        rows = ["id,time,entity,text"]
        for entity in ("ACME", "Bolt", "Corp"):
            surges = entity == "ACME" and day == days - 1
            for number, label in enumerate(
                random.choice(labels, 150, p=[0.6, 0.3, 0.1] if surges else [0.1, 0.6, 0.3])
            ):
                moment = DAY + datetime.timedelta(days=day, minutes=9 * number)
                text = sentence(random, label, 1000 + day * 1000 + number)
                rows.append(f"{entity}-{day}-{number},{moment.isoformat()},{entity},{text}")
        (data / "stream" / f"{day}.csv").write_text("\n".join(rows) + "\n")
    write_tokenizer(tmp_path / "tokenizer")
    text = CONFIG.read_text().replace("data/financial_opinion", str(data)).replace("runs/", f"{tmp_path}/runs/")
    config = tmp_path / "financial_opinion.yaml"
    config.write_text(text)
    words = [
        *(f"preprocess.tokenizer={tmp_path / 'tokenizer'}", "train.model={architecture: bag_of_words}"),
        *("train.learning_rate=0.01", "train.epochs=4", "watch.window=1d", "ring.ranks=1"),
    ]
    mapring = [str(Path(sys.executable).parent / "mapring")]
    for command in ("run", "alerts"):
        done = subprocess.run(
            [*mapring, command, str(config), *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "runs/financial_opinion"
    found = DeltaTable(str(run / "scores")).to_pyarrow_table().to_pylist()
    assert len(found) == days * 3 * 150 and {row["group"] for row in found} == {"ACME", "Bolt", "Corp"}
    surges = [record for record in read_log(str(run / "alerts")) if record.kind == "surge"]
    [alert] = [record for record in surges if record.quantity == "negative"]
    assert (alert.group, alert.status, alert.rows) == ("ACME", "alert", 150)
    assert alert.window_start == DAY + datetime.timedelta(days=days - 1)
    assert len(alert.examples) == 3 and all(set(text.split()) & set(WORDS["negative"]) for text in alert.examples)
    assert "group 'ACME'" in (run / "alerts.log").read_text()
    assert "largest groups" in (run / "report.html").read_text()
    assert json.loads((run / "alerts/judged.json").read_text())["groups"]
