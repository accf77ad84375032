"""`mapring init`: whatever it writes `mapring run` takes, nothing is overwritten, what is open is asked or refused."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mapring.columns import check_columns
from mapring.errors import SettingsError
from mapring.settings import Settings, load_settings
from pipelines import init as module
from pipelines.init import asked_for, init
from pipelines.initializing.choosing import Asked
from pipelines.initializing.looking import look_at
from pipelines.initializing.sizes import Machine, fit_sizes
from pipelines.initializing.writing import Draft, render

ENGLISH = ("the staff was very friendly", "we will never come back here", "the room was small but clean")
CHINESE = ("这家酒店的服务很好", "房间很小而且很脏", "早餐还可以下次再来")


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Init is tried where a new user is, and without the pretrained model, which tests do not rely on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_has_pretrained", lambda: False)


def rows(count: int = 60, texts: Sequence[str] = ENGLISH) -> list[dict[str, Any]]:
    return [
        {"review_id": f"r{number}", "body": f"{texts[number % 3]} {number}", "stars": "123"[number % 3], "lang": "x"}
        for number in range(count)
    ]


def write_csv(path: str, table: Sequence[dict[str, Any]], separator: str = ",", encoding: str = "utf-8") -> str:
    with Path(path).open("w", newline="", encoding=encoding) as handle:
        writer = csv.DictWriter(handle, list(table[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(table)
    return path


def started(file: str, **asked: Any) -> Settings:
    """The settings that init writes for a file; their columns are held against the file as `mapring run` does."""
    config = init(file, Asked(**asked), is_interactive=False)
    settings = load_settings(str(config))
    sources = [*settings.preprocess.inputs, *(settings.score.inputs if settings.score else ())]
    for source in sources:
        check_columns(str(config), "inputs", source, source.path)
    return settings


@pytest.mark.parametrize(
    ("name", "separator", "encoding"),
    [("a b.csv", ",", "utf-8"), ("a.csv", ";", "cp1252"), ("a.csv", "|", "utf-8"), ("a.csv", "\t", "utf-8")],
)
def test_a_csv_as_people_write_them_becomes_a_pipeline(name: str, separator: str, encoding: str) -> None:
    table = [{**row, "body": f"{row['body']} café, naïve; déjà vu"} for row in rows()]
    found = started(write_csv(name, table, separator, encoding)).preprocess.inputs[0]
    assert found.text_column == "body" and found.label_column == "stars" and found.id_column == "review_id"
    assert found.encoding == encoding
    assert (found.format, found.separator) == (("tsv", ",") if separator == "\t" else ("csv", separator))


def test_what_was_seen_and_the_next_command_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    table = [*rows(), {**rows()[0], "body": ""}, {**rows()[1], "stars": "9"}, {**rows()[2], "stars": ""}]
    started(write_csv("reviews.csv", table))
    told = capsys.readouterr().out
    for part in (
        "reviews.csv: csv, fields parted by a comma, utf-8, 63 rows; looked at all of it",
        "'body' is the text, 'stars' is the label",
        "not used: 'review_id', 'lang'",
        "4: 1 21, 2 20, 3 20, 9 1",
        "en (",
        "1 row (1.6%) without text: dropped",
        "2 rows (3.2%) with a text that was there before",
        "1 row (1.6%) without label: not learned from",
        "1 label has one row only (9)",
        "wrote reviews.yaml: classify",
        "next: mapring run reviews.yaml",
    ):
        assert part in told, part
    text = Path("reviews.yaml").read_text()
    assert "label_column: stars   # its name" in text and "max_length: " in text


def test_a_config_that_is_there_is_never_overwritten() -> None:
    write_csv("reviews.csv", rows())
    Path("reviews.yaml").write_text("mine")
    with pytest.raises(SettingsError, match=r"reviews\.yaml: found a file of this name.*--out"):
        init("reviews.csv", Asked(), is_interactive=False)
    assert Path("reviews.yaml").read_text() == "mine"
    assert init("reviews.csv", Asked(out="other.yaml"), is_interactive=False) == Path("other.yaml")


@pytest.mark.parametrize(
    ("values", "asked", "task", "labels"),
    [
        (["a|b", "b", "a"], {}, "multilabel", "several"),
        (["a,b", "b", "a"], {}, "multilabel", "several"),
        ([str(number / 7) for number in range(60)], {}, "regression", "number"),
        (["1", "2", "3"], {"task": "regression"}, "regression", "number"),
        (["x", "y", "z"], {"task": "clm", "label": None}, "clm", "one"),
        (["x", "y", "z"], {"task": "mlm", "label": None}, "mlm", "one"),
        (["x", "y", "z"], {"task": "preprocess", "label": None}, "mlm", "one"),
    ],
)
def test_every_task_has_a_config(values: list[str], asked: dict[str, Any], task: str, labels: str) -> None:
    table = [{**row, "stars": values[place % len(values)]} for place, row in enumerate(rows())]
    found = started(write_csv("a.csv", table), **asked)
    assert found.train.task == task and found.preprocess.labels == labels
    assert (found.score is None) == (task == "mlm")


def test_pairs_are_embedded() -> None:
    table = [{"question": text["body"], "answer": f"yes, {text['body']}"} for text in rows()]
    found = started(write_csv("a.csv", table), text="question", second_text="answer")
    assert found.train.task == "embed" and found.preprocess.inputs[0].second_text_column == "answer"


def test_other_languages_get_a_tokenizer_of_their_own() -> None:
    found = started(write_csv("a.csv", rows(texts=CHINESE)))
    assert found.preprocess.tokenizer is not None and found.preprocess.tokenizer.train == "unigram"
    assert found.train.model.architecture == "lstm"


def test_jsonl_with_lists_parquet_and_text() -> None:
    Path("a.jsonl").write_text(
        "".join(json.dumps({"text": row["body"], "label": row["stars"]}) + "\n" for row in rows())
    )
    assert started("a.jsonl").preprocess.inputs[0].format == "jsonl"
    pq.write_table(pa.Table.from_pylist(rows()), "b.parquet")
    assert started("b.parquet").preprocess.inputs[0].label_column == "stars"
    Path("c.txt").write_text("".join(f"{row['body']}\n" for row in rows()))
    assert started("c.txt", task="clm").preprocess.inputs[0].format == "text"


def test_numbers_are_seen_as_they_are_read() -> None:
    labels = [float("nan") if number % 3 else 2.0 for number in range(len(rows()))]
    frame = pa.table({"text": [row["body"] for row in rows()], "label": pa.array(labels)})
    pq.write_table(frame, "a.parquet")
    assert look_at(Path("a.parquet"), None).columns["label"][:3] == ["2.0", None, None]


def test_a_parquet_file_with_two_columns_of_one_name_is_refused() -> None:
    texts = pa.array([row["body"] for row in rows()])
    pq.write_table(pa.Table.from_arrays([texts, texts], ["body", "body"]), "a.parquet")
    with pytest.raises(SettingsError, match="found the name 'body' twice, expected each column to have a name of its"):
        started("a.parquet")


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"a": ENGLISH, "b": ENGLISH}, "pass --text COLUMN with one of a, b"),
        ({"text": ENGLISH, "kind": "xyz", "shop": "xyz"}, "pass --label COLUMN with one of kind, shop, or --task clm"),
        ({"text": ENGLISH}, "there is no label; pass --task clm, mlm or preprocess"),
        ({"a": "123", "b": "456"}, "found no column of texts, only numbers and times (of a, b)"),
    ],
)
def test_what_only_a_person_knows_is_refused_without_a_terminal(columns: dict[str, Sequence[str]], part: str) -> None:
    table = [{name: values[number % 3] for name, values in columns.items()} for number in range(60)]
    write_csv("a.csv", table)
    with pytest.raises(SettingsError) as caught:
        init("a.csv", Asked(), is_interactive=False)
    assert part in str(caught.value)
    assert not Path("a.yaml").exists()


def test_on_a_terminal_it_is_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter(["7", "nothing", "2"])
    monkeypatch.setattr("typer.prompt", lambda _question: next(answers))
    table = [{**row, "shop": "abc"[place % 3], "stars": ""} for place, row in enumerate(rows())]
    config = init(write_csv("a.csv", [{"kind": row["shop"], **row} for row in table]), Asked(), is_interactive=True)
    assert load_settings(str(config)).preprocess.inputs[0].label_column == "shop"
    told = capsys.readouterr().out
    assert "3 different values, such as a, b, c" in told and told.count("expected a number from 1 to 3") == 2


def test_a_large_file_is_answered_at_once_and_no_engine_is_loaded(tmp_path: Path) -> None:
    line = '{},"{} and so on, with a text as long as a short review, of which there are many",{}\n'
    with Path("large.csv").open("w") as handle:
        handle.write("id,text,label\n")
        handle.writelines(line.format(number, ENGLISH[number % 3], "abc"[number % 3]) for number in range(300_000))
    code = (
        "import sys, time; start = time.process_time(); from pipelines.init import init; "
        "from pipelines.initializing.choosing import Asked; init('large.csv', Asked(), is_interactive=False); "
        "print(time.process_time() - start, sorted({'pyspark', 'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, _, loaded = done.stdout.splitlines()[-1].partition(" ")
    assert loaded == "[]" and float(seconds) < 4
    assert "looked at pieces of 2 MB each from its beginning, middle and end" in done.stdout
    told = int(done.stdout.partition("about ")[2].partition(" rows")[0].replace(",", ""))
    assert told == pytest.approx(300_000, rel=0.02)


@given(path=st.text(min_size=1), column=st.text(min_size=1), reason=st.text())
def test_any_name_and_reason_leave_the_config_what_it_says(path: str, column: str, reason: str) -> None:
    sizes = fit_sizes([5], rows=9, scored_rows=9, classes=2, family="lstm", machine=Machine(2, 1 << 34, None))
    values = {"name": "a", "path": path, "format": "csv", "text_column": column, "label_column": column}
    draft = Draft(
        config="a.yaml",
        name="a",
        seen=reason,
        input=values,
        purpose="classify",
        separator=None,
        family="lstm",
        vocabulary=500,
        has_spaces=True,
        unescape_html=False,
        fix_mojibake=False,
        sizes=sizes,
        cores=2,
        launcher="horovodrun",
        why=dict.fromkeys(["text_column", "label_column", "epochs", "score"], reason),
    )
    found = yaml.safe_load(render(draft))
    assert found["preprocess"]["inputs"] == [values]
    assert found["score"]["inputs"] == [{key: value for key, value in values.items() if key != "label_column"}]


@pytest.mark.parametrize(("option", "value"), [("task", "sentiment"), ("format", "xlsx")])
def test_unknown_tasks_and_formats_are_refused(option: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"--{option}: found '{value}', expected one of"):
        asked_for(**{"task": None, "format": None, option: value})
