"""Sentences counted by hand, with the reason beside each; and of lines that C4 keeps none goes without a sentence."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_jobs.filters.c4 import keeps
from spark_jobs.filters.sentences import count_sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? 3.5 is no end", 3),  # the rest has no end, and C4 drops such a line
        ("One. Two! Three? 3.5 is no end.", 4),
        ('He said "no." Then left.', 2),
        ("(It was late.) We left.", 2),
        ("Really?! Yes.", 2),
        ("He came\nfrom the U.S.\nlast year.", 2),  # as C4: a line that ends in a mark is a sentence
        ("The U.S. army and the U.S. navy met at 5 p.m. on Monday.", 1),
        ("They moved to the U.S. The house was sold.", 2),  # a word that begins sentences
        ("Mr. Smith, Dr. Jones and J. R. R. Tolkien met Gen. Lee.", 1),
        ("Use a list, e.g. of names, i.e. words, etc. as you like.", 1),
        ("Apples, pears, etc. The rest was lost.", 2),
        ("In vitamin C. There is much of it.", 2),  # one capital letter, but then a word that begins sentences
        ("It was on Jan. 5 in Fig. 3 of vol. 2.", 1),
        ("Well... perhaps not.", 1),
        ("Well... The answer is no.", 2),
        ("And so on...", 0),  # no terminal mark for C4
        ("And so on..", 1),
        ("Wait.\nStop!\nWhy?\n", 3),
        ("see example.com. 1.2.3 is out. ok", 2),  # a lower case letter may begin a sentence
        ("一。二！三", 2),
        ("他说：“好。”\n我去了？“是！”", 3),
        ("A title\nAnother title", 0),
        ("", 0),
    ],
)
def test_sentences_are_counted_as_by_hand(text: str, expected: int) -> None:
    assert count_sentences(pa.array([text])).tolist() == [expected]


LINES = st.lists(st.text(st.sampled_from("aA bI.!?\"'\u201d)\u3002\u2026"), min_size=5, max_size=30), max_size=6)


@settings(deadline=None, max_examples=200)
@given(LINES)
def test_every_line_that_c4_keeps_has_a_sentence(lines: list[str]) -> None:
    kept = [line.strip() for line in (f"one two three four {line}" for line in lines) if keeps(line)]
    found = count_sentences(pa.array(["\n".join(kept)]))
    assert found[0] >= len(kept)
    assert found[0] == count_sentences(pa.array(kept, pa.string())).sum()
