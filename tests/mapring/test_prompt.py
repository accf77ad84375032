"""Templates of prompts: filled once, braces in values left alone, and what cannot be filled refused."""

from __future__ import annotations

import pytest

from mapring.prompt import Prompt


def test_values_go_where_their_names_stand_and_are_not_read_again() -> None:
    prompt = Prompt("Q: {text} {{{label}}} {text}", ("text", "label", "answer"))
    assert prompt.fields == {"text", "label"}
    assert prompt.fill({"text": "{label} {0} {{", "label": "x"}) == "Q: {label} {0} {{ {x} {label} {0} {{"
    assert Prompt("plain", ()).fill({}) == "plain"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{question}", r"found the field \{question\}, expected \{text\}, \{label\}; write \{\{ and \}\}"),
        ("{}", r"found the field \{\}"),
        ("{text.upper}", r"found the field \{text.upper\}"),
        ("{text!r}", r"found the field \{text!r\}"),
        ("{text:>9}", r"found the field \{text:>9\}"),
        ("{text", r"found '\{text' \(expected '\}' before end of string\)"),
        ("text}", r"found 'text\}' \(Single '\}'"),
    ],
)
def test_what_cannot_be_filled_is_refused(template: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Prompt(template, ("text", "label"))
