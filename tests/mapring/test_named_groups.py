"""Groups that a text names: whole words, cases, overlaps, scripts without spaces; against a search in plain words."""

from __future__ import annotations

import random

import pytest

from mapring.named_groups import NamedGroups, words_of

LIST = {
    "ford": ["Ford", "Ford Motor Co."],
    "foundation": ["Ford Foundation"],
    "index": ["S&P 500", "s&p"],
    "att": ["AT&T"],
    "ali": ["阿里巴巴", "Alibaba"],
    "samsung": ["삼성전자"],
    "apple": ["apple"],
    "cars": ["Ford", "Tesla"],
    "kamal": ["कमल"],
    "mcd": ["McDonald's"],
    "motor": ["Ford Motor"],
    "visa": ["card"],
}


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("Ford's plans", ["cars", "ford"]),
        ("Fordham and Fords, ford and FORD", []),
        ("the Ford Foundation gives", ["foundation"]),
        ("Ford  Motor\nCo. of Ford Foundation", ["ford", "foundation"]),
        ("Ford Motor", ["motor"]),
        ("S&P 500 falls, S&P 5000 not", ["index"]),
        ("S & P rises", ["index"]),
        ("AT&T", ["att"]),
        ("at&t", []),
        ("APPLE, Apple or apple", ["apple"]),
        ("pineapple", []),
        ("今天阿里巴巴发布财报", ["ali"]),
        ("삼성전자는 올랐다", ["samsung"]),
        ("कमल है", ["kamal"]),
        ("कमला है", []),
        ("McDonald’s Big\u00ad Mac", ["mcd"]),
        ("buys Ford\x1eMotor Co. sells", ["cars", "ford"]),
        ("pays by <card>", []),
        ("", []),
    ],
)
def test_a_name_is_a_run_of_whole_words(text: str, groups: list[str]) -> None:
    assert NamedGroups(LIST).in_text(text) == groups


def test_what_is_found_is_what_a_search_at_every_place_finds() -> None:
    draw = random.Random(7)
    words = ["a", "B", "c", "&", "é"]
    for _ in range(300):
        names = {
            f"g{number}": [" ".join(draw.choices(words, k=draw.randint(1, 3))) for _ in range(2)] for number in range(4)
        }
        text = " ".join(draw.choices([*words, "A", "C"], k=12))
        assert NamedGroups(names).in_text(text) == plainly(names, text)


def plainly(names: dict[str, list[str]], text: str) -> list[str]:
    """From left to right the longest name at each place, every name held against the text there."""
    tokens, place, found = text.split(), 0, set[str]()
    while place < len(tokens):
        length, here = 1, set[str]()
        for group, own in names.items():
            for name in own:
                parts = name.split()
                given = tokens[place : place + len(parts)]
                fits = given == parts or (name == name.lower() and [word.lower() for word in given] == parts)
                if fits and here and len(parts) == length:
                    here.add(group)
                elif fits and (not here or len(parts) > length):
                    length, here = len(parts), {group}
        found |= here
        place += length
    return sorted(found)


def test_words_are_letters_with_their_marks_and_all_else_alone() -> None:
    assert words_of("S&P 500's शक्ति 中国x_1!") == ("S", "&", "P", "500", "'", "s", "शक्ति", "中", "国", "x_1", "!")
