"""`mapring init` on files as spreadsheets, surveys and APIs write them: read as the run will read them, or refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mapring.errors import SettingsError
from mapring.settings import Settings
from pipelines import init as module
from pipelines.init import init
from pipelines.initializing.choosing import Asked
from pipelines.initializing.sizes import Machine
from tests.pipelines.test_init import ENGLISH, empty_directory, rows, started, write_csv

__all__ = ["empty_directory"]  # a fixture that all tests here use


def write_jsonl(path: str, table: Sequence[dict[str, Any]]) -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in table))
    return path


def refusal(file: str, **asked: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        init(file, Asked(**asked), is_interactive=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_that_the_run_would_set_aside_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.csv").write_text(
        "text,label\n" + "".join(f"{ENGLISH[n % 3]} {n},{n % 2}\n" for n in range(40)) + '"So" it is,1\n'
    )
    started("a.csv")
    assert "1 row have other than the 2 fields of the first line, or quotes within a field" in capsys.readouterr().out
    table = [{"text": row["body"], "label": row["stars"]} for row in rows()]
    table[3] = {"label": "1"}
    table[7] = {"text": 7, "label": "1"}
    table[9] = {"text": None, "label": "1"}
    table[11] = {"text": "half a face \ud83d", "label": "1"}
    started(write_jsonl("b.jsonl", table))
    told = capsys.readouterr().out
    assert "2 rows without the key 'text', or with something else than text in it" in told
    assert "1 row (1.7%) without text: dropped" in told
    assert "1 row are no JSON objects, or hold half characters" in told


def test_quotes_that_no_row_has_right_are_told() -> None:
    Path("a.csv").write_text("text,label\n" + '"So" it is,1\n' * 40)
    assert "40 rows, of which none can be read: a field that begins with a quote ends with one" in refusal("a.csv")


@pytest.mark.parametrize("labels", [[], [{"id": 1, "name": "bug"}]])
def test_lists_of_objects_are_no_labels(labels: list[Any]) -> None:
    file = write_jsonl("a.jsonl", [{"text": row["body"], "labels": labels} for row in rows()])
    assert "label column 'labels': found lists without a text or number" in refusal(file)


def test_first_lines_of_spreadsheets(capsys: pytest.CaptureFixture[str]) -> None:
    table = [{"v1": row["stars"], "v2": row["body"], "": ""} for row in rows()]
    found = started(write_csv("spam.csv", table), label="v1").preprocess.inputs[0]
    assert (found.text_column, found.label_column) == ("v2", "v1")
    assert "not used" not in capsys.readouterr().out
    Path("excel.csv").write_text("sep=;\n" + Path(write_csv("b.csv", rows(), ";")).read_text())
    assert run_what_is_said(refusal("excel.csv"), "named-excel.csv").label_column == "stars"


def test_a_name_that_comes_twice_is_replaced_by_the_command_that_is_printed() -> None:
    lines = [f"{n},{ENGLISH[n % 3]} {n},{n % 2},{n}" for n in range(40)]
    Path("a.csv").write_text("\n".join(["id,text,label,id", *lines]) + "\n")
    told = refusal("a.csv")
    assert "found the name 'id' twice" in told
    found = run_what_is_said(told, "named-a.csv", label="column_3")
    assert found.text_column == "column_2"
    assert Path("named-a.csv").read_text().splitlines()[1:] == lines


def run_what_is_said(told: str, made: str, **asked: Any) -> Any:
    """The input of the config for the file that the end of a message makes."""
    command = told.rpartition(": ")[2]
    subprocess.run(["bash", "-c", command], check=True)
    return started(made, **asked).preprocess.inputs[0]


def test_chinese_between_bars_is_converted_first() -> None:
    table = [{"text": f"这家酒店的服务很好{n}", "label": "好坏"[n % 2]} for n in range(40)]
    assert "iconv -f GB18030 -t UTF-8 a.csv" in refusal(write_csv("a.csv", table, "|", "gb18030"))


def pairs(file: str, **asked: Any) -> Settings:
    table = [
        {"question": f"what about {n}", "passage": f"{ENGLISH[n % 3]} " * 12 + str(n), "label": n % 2}
        for n in range(400)
    ]
    return started(write_csv(file, table), text="question", second_text="passage", **asked)


def test_lengths_are_those_of_what_is_read_together() -> None:
    together = pairs("a.csv", label="label").preprocess.max_length
    apart = pairs("b.csv", task="embed").preprocess.max_length
    alone = started("b.csv", text="passage", label="label", out="c.yaml").preprocess.max_length
    assert alone == apart <= together


def test_pairs_of_which_none_is_whole_are_refused() -> None:
    table = [{"a": ENGLISH[n % 3] * (n % 2), "b": ENGLISH[n % 3] * (1 - n % 2), "label": n % 3} for n in range(40)]
    told = refusal(write_csv("a.csv", table), text="a", second_text="b", label="label")
    assert "columns 'a' and 'b': found no row with a text in both" in told


@pytest.mark.parametrize("cores", [1, 6, 7, 12, 16, 20, 64])
def test_pairs_to_embed_fit_any_number_of_cores(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "this_machine", lambda: Machine(cores, 512 << 30, "horovodrun"))
    found = pairs("a.csv", task="embed")
    assert found.train.global_batch >= 2 * found.preprocess.lanes and 1 <= found.ring.ranks <= min(cores, 16)


def labelled_pairs(label: str = "is_duplicate") -> str:
    table = [{"question": row["body"], "answer": f"yes, {row['body']}", label: place % 2} for place, row in rows_of(40)]
    return write_csv("pairs.csv", table)


def rows_of(count: int) -> list[tuple[int, dict[str, str]]]:
    return list(enumerate(rows()))[:count]


def test_labelled_pairs_are_classified_and_never_drawn_together() -> None:
    assert "and --second-text COLUMN if two of them are read together" in refusal(labelled_pairs())
    asked = {"text": "question", "second_text": "answer"}
    found = started("pairs.csv", label="is_duplicate", **asked)
    assert found.train.task == "classify" and found.preprocess.inputs[0].second_text_column == "answer"
    Path("pairs.yaml").unlink()
    table = [{**row, "label": place % 3} for place, row in rows_of(40)]
    write_csv("nli.csv", [{"premise": row["body"], "hypothesis": f"so {row['body']}", **row} for row in table])
    told = started("nli.csv", text="premise", second_text="hypothesis")
    assert told.train.task == "classify" and told.preprocess.inputs[0].label_column == "label"
    write_csv(
        "faq.csv", [{"q": row["body"], "a": f"so {row['body']}", "lang": "xy"[place % 2]} for place, row in rows_of(40)]
    )
    told_pair = refusal("faq.csv", text="q", second_text="a")
    assert "one column has few different values" in told_pair and told_pair.endswith("lang, or --task embed")
    assert started("faq.csv", text="q", second_text="a", task="embed").train.task == "embed"
    assert "is the text itself, expected the other text" in refusal("pairs.csv", text="answer", second_text="answer")


def test_times_that_a_scoring_cannot_read_are_refused() -> None:
    table = [{**row, "at": "Tue Feb 24 11:35:52 -0800 2015"} for row in rows()]
    told = refusal(write_csv("a.csv", table), time="at")
    assert "--time at: found 'Tue Feb 24 11:35:52 -0800 2015', expected ISO 8601 or seconds since 1970" in told


def test_rows_that_cannot_be_read_are_told_where_the_label_is_what_fails() -> None:
    lines = [json.dumps({"text": row["body"], "label": "b"}) + "," * (place > 0) for place, row in rows_of(40)]
    Path("a.jsonl").write_text("\n".join(lines) + "\n")
    assert "Of 40 rows looked at 39 cannot be read: they are no JSON objects" in refusal("a.jsonl")


def test_dates_as_people_write_them_are_no_labels_and_numbers_with_units_no_classes() -> None:
    dates = [f"{1 + place % 9:02d}.03.2021" for place in range(len(rows()))]
    table = [{"Kommentar": row["body"], "Datum": date, "Bewertung": row["stars"]} for row, date in with_(dates)]
    assert started(write_csv("a.csv", table)).preprocess.inputs[0].label_column == "Bewertung"
    shares = [f"{place % 47}%" for place in range(len(rows()))]
    told = refusal(write_csv("b.csv", [{"text": row["body"], "score": share} for row, share in with_(shares)]))
    assert "found '0%', a number with a unit, expected a label or a number; write the number alone" in told
    few = [f"{place % 2 * 10}%" for place in range(len(rows()))]
    assert started(write_csv("c.csv", [{"text": row["body"], "score": share} for row, share in with_(few)])).train.task


@pytest.mark.parametrize("values", [("1.2.3", "1.10.0", "2.0.1"), ("1-2-3", "4-5-6"), ("4/5", "1/5")])
def test_versions_and_grades_are_no_dates(values: tuple[str, ...]) -> None:
    table = [{"text": row["body"], "kind": values[place % len(values)]} for place, row in enumerate(rows())]
    assert started(write_csv("a.csv", table)).preprocess.inputs[0].label_column == "kind"


def with_(values: list[str]) -> list[tuple[dict[str, str], str]]:
    return list(zip(rows(), values, strict=True))


def test_excel_files_and_nul_characters_are_told_for_what_they_are() -> None:
    Path("a.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))
    assert "found an Excel or zip file, expected lines of text; save it as csv" in refusal("a.xlsx")
    file = Path(write_csv("b.csv", rows()))
    file.write_bytes(file.read_bytes().replace(b"e", b"e\x00", 1))
    told = refusal("b.csv")
    assert "found NUL characters, expected text" in told
    assert run_what_is_said(told, "text-b.csv").text_column == "body"
    chinese = "text,label\n" + "".join(f"这家酒店的房间很干净{place}，服务也不错,{place % 2}\n" for place in range(200))
    for content in (file.read_text().replace("\x00", ""), chinese):
        file.write_bytes(content.encode("utf-16-le"))
        assert "found an encoding that is UTF-16" in refusal("b.csv")


def test_tables_without_a_name_for_it_and_objects_are_told() -> None:
    Path("a.txt").write_text("".join(f"{row['stars']}\t{row['body']}\n" for row in rows()))
    assert "found lines of several fields parted by tabs, expected one text a line; pass --format tsv" in refusal(
        "a.txt"
    )
    assert started("a.txt", format="text", task="clm").preprocess.inputs[0].format == "text"
    file = write_jsonl("b.jsonl", [{"data": {"text": row["body"]}, "label": row["stars"]} for row in rows()])
    assert "Objects, as in 'data', are not looked into: write their fields as keys of their own" in refusal(file)
