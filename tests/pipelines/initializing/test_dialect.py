"""How a file is delimited and encoded: what any csv writer writes is found again, also from the middle of a file."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.initializing.dialect import (
    Dialect,
    guess_dialect,
    guess_encoding,
    missing_header,
    read_records,
    unusable_names,
)

NAMES = ["id", "text", "label"]
FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=40)
ROWS = st.lists(st.tuples(FIELDS, FIELDS, FIELDS).map(list), min_size=3, max_size=30)


def written(rows: list[list[str]], separator: str, quoting: int = csv.QUOTE_ALL) -> str:
    sink = io.StringIO(newline="")
    csv.writer(sink, delimiter=separator, lineterminator="\n", quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return sink.getvalue()


@given(rows=ROWS, separator=st.sampled_from(",;\t|"), quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
def test_the_separator_of_whatever_a_csv_writer_writes_is_found_and_its_rows_read(
    rows: list[list[str]], separator: str, quoting: int
) -> None:
    text = written([NAMES, *rows], separator, quoting)
    dialect = guess_dialect(text)
    assert dialect == Dialect("csv", separator)  # type: ignore[arg-type]
    assert read_records([text], dialect) == (NAMES, rows, 0)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_file_of_two_rows_is_enough(separator: str) -> None:
    lines = ["text", "label"], ["all that, and more; the tea", "a"], ["nothing", "b"]
    text = written([list(line) for line in lines], separator, csv.QUOTE_MINIMAL)
    found = guess_dialect(text)
    assert found is not None and found.separator == separator
    assert found.format == ("tsv" if separator == "\t" else "csv")


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("Features,rich,markdown,rich-cli\nhas tables,x,x\neasy to use,x,x,x\n", ","),  # Python 3.11: 't'
        ("Features,rich,markdown,rich-cli,GitHub\nhas tables,x,x,x\neasy to use,x,x,x,x\n", ","),  # none
        ("id;text;list\n1;a;['112', '112']\n2;b;['3', '4']\n", ";"),  # ','
    ],
)
def test_files_that_the_sniffer_of_python_3_11_gets_wrong(text: str, separator: str) -> None:
    found = guess_dialect(text)
    assert found is not None and found.separator == separator


def test_prose_with_commas_is_no_csv() -> None:
    lines = ["Dear all, as said, we met", "One line", "Another, shorter", "Last one, of two, or three, or four"]
    assert guess_dialect("\n".join(lines)) is None


def test_quotes_in_a_tsv_are_text_unless_they_are_around_fields() -> None:
    assert guess_dialect('text\tn\n5" wide\t1\nso "good"\t2\n') == Dialect("tsv", "\t")
    assert guess_dialect('text\tn\n"a ""b"" c"\t1\nd\t2\n') == Dialect("csv", "\t")


def test_a_part_that_begins_within_a_quoted_field_is_read_from_the_next_record_on() -> None:
    first = written([NAMES, ["0", "zero", "a"]], ",")
    rows = [[str(number), f"two\nlines, of {number}", "b"] for number in range(1, 30)]
    part = written(rows, ",")
    cut = part[part.index("lines, of 1") :]
    header, found, bad = read_records([first, cut], Dialect("csv", ","))
    assert header == NAMES and found == [["0", "zero", "a"], *rows[1:]] and bad == 0


def test_rows_of_another_width_are_counted() -> None:
    header, rows, bad = read_records(["a,b\n1,2\n1,2,3\n3,4\n"], Dialect("csv", ","))
    assert (header, rows, bad) == (["a", "b"], [["1", "2"], ["3", "4"]], 1)


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("plain", "ascii", "utf-8"),
        ("déjà vu, naïve, 你好", "utf-8", "utf-8"),
        ("Das Café hat schöne Stühle und große Tische\n" * 3, "cp1252", "cp1252"),
        ("这家酒店的服务很好，房间也很干净\n" * 3, "gb18030", "gb18030"),
        ("昨日股市大涨 专家称行情将持续到年底\n中国男篮击败对手 进入决赛\n" * 3, "gb18030", "gb18030"),
        ("Очень хорошая гостиница\n" * 3, "cp1251", None),
        ("Очень хорошая гостиница\n" * 3, "koi8-r", None),
        ("이 호텔은 정말 좋았어요 다시 가고 싶습니다\n" * 3, "euc-kr", None),
        ("โรงแรมนี้ดีมาก บริการดีเยี่ยม\n" * 3, "tis-620", None),
        ("anything", "utf-16", None),
    ],
)
def test_encodings_are_told_apart_or_refused(text: str, encoding: str, found: str | None) -> None:
    guess = guess_encoding([text.encode(encoding)])
    assert (guess and guess[0]) == found


def test_a_few_broken_bytes_leave_a_file_utf_8() -> None:
    part = "schön\n".encode() * 500 + b"b\xe4d\n"
    assert guess_encoding([part]) == ("utf-8", pytest.approx(1 / 502))


@pytest.mark.parametrize("lines", [20, 60, 99])
def test_one_broken_line_of_a_short_file_leaves_it_utf_8(lines: int) -> None:
    part = "déjà été très café\n".encode() * lines + b"caf\xc3 7\n"
    assert guess_encoding([part]) == ("utf-8", pytest.approx(1 / (lines + 2)))


@pytest.mark.parametrize(
    ("header", "rows", "part"),
    [
        (["1", "good"], [["2", "bad"]], "the number 1"),
        (["I liked it a lot, all of it", "x"], [["no, it was not for me", "y"]], "the text 'I liked"),
        (["where is the card that I ordered last week?", "x"], [["is my account closed?", "y"]], "the text 'where"),
        (["so good", "positive"], [["bad", "negative"], ["ok", "positive"], ["fine", "positive"]], "'positive'"),
    ],
)
def test_a_first_line_of_data_is_no_header(header: list[str], rows: list[list[str]], part: str) -> None:
    why = missing_header(header, rows)
    assert why is not None and part in why


@pytest.mark.parametrize(
    "header",
    [
        ["", "text", "label"],
        ["0", "1"],
        ["", "0", "1"],
        ["Customer review", "n"],
        ["v1", "v2", "", ""],  # as Excel writes columns that once held something
        ["id", "How would you rate us, all in all, from 1 to 5?"],
        ["id", "Was there anything that you did not like about it"],
    ],
)
def test_headers_as_pandas_and_people_write_them(header: list[str]) -> None:
    assert missing_header(header, [*[["0"] * len(header)] * 20, header]) is None


def test_names_that_no_setting_could_name_are_told() -> None:
    assert unusable_names(["", "text", "label", ""]) is None
    assert unusable_names(["id", "text", " id "]) == "the name 'id' twice"
    assert "two lines" in str(unusable_names(["text\n(review)", "label"]))


def test_rows_are_read_as_strictly_as_the_pipeline_reads_them() -> None:
    text = 'id,text\n0,"Great" product\n1,"so ""good"" it was"\n'
    dialect = guess_dialect(text)
    assert dialect == Dialect("csv", ",")
    assert read_records([text], dialect) == (["id", "text"], [["1", 'so "good" it was']], 1)
