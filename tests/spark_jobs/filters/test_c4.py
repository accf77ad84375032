"""C4's lines: each rule for lines alone, and what is left of a text."""

from __future__ import annotations

import pyarrow as pa
import pytest

from spark_jobs.filters.c4 import clean_lines, keeps


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("One two three four five.", True),  # five words
        ("One two three four.", False),  # four
        ("One two three four five", False),  # no terminal mark
        ("One two three four five...", False),  # an ellipsis is none
        ("One two three four five?", True),
        ("One two three four five!", True),
        ('He said "one two three four."', True),
        ("Please enable JavaScript to see this.", False),
        ("Read our Privacy Policy before you start.", False),
        ("This site uses cookies, as all do.", False),
        ("  One two three four five.  ", True),
        ("", False),
        (f"One two three four {'x' * 1000}.", False),  # a word of more than 1,000 characters
        (f"One two three four {'x' * 999}.", True),
    ],
)
def test_a_line_is_kept_or_not(line: str, kept: bool) -> None:
    assert keeps(line) is kept


def test_texts_are_left_with_their_good_lines() -> None:
    text = "Menu\nThis is a line of prose.\nHome | About\nAnd here comes another one!"
    cleaned = clean_lines(pa.array([text, None, "Menu"], pa.string())).to_pylist()
    assert clean_lines(pa.array(["This is a line of prose.\n\nAnd here comes another one!"])).to_pylist() == cleaned[:1]
    cited = "The town was founded in 1990.[3]\nIt has[citation needed] many streets and squares."
    plain = "The town was founded in 1990.\nIt has many streets and squares."
    assert clean_lines(pa.array([cited])).to_pylist() == [plain]
    assert cleaned == ["This is a line of prose.\nAnd here comes another one!", None, ""]
