"""JSON lines: many plain lines decoded together give what each would give alone."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mapring.settings import Input
from spark_jobs.formats.jsonl import _any_records, _plain_records

SOURCE = Input(name="s", path="s", format="jsonl", id_column="id", label_column="label", group_column="group")

values = st.one_of(
    st.none(), st.text(max_size=5), st.integers(0, 9), st.just("\ud800"), st.lists(st.none(), max_size=1)
)
plain_values = st.one_of(st.none(), st.text(max_size=5))
plain_objects = st.dictionaries(st.sampled_from(["id", "label", "group", "more"]), plain_values).map(
    lambda found: {"text": "t", **found}
)
objects = st.dictionaries(st.sampled_from(["id", "text", "label", "group"]), values)
lines = st.one_of(
    plain_objects.map(lambda found: json.dumps(found).encode()),
    objects.map(lambda found: json.dumps(found).encode()),
    st.sampled_from(
        [b"", b" \t", b"[]", b"{}", b'{"text": "a"} b', b' {"text": "a"}\r', b'{"text": "\xff"}', b"[" * 9999]
    ),
)


@given(
    st.one_of(st.lists(plain_objects.map(lambda o: json.dumps(o).encode()), min_size=1), st.lists(lines, min_size=1))
)
def test_lines_decoded_together_are_the_lines_decoded_alone(some: list[bytes]) -> None:
    numbered = list(enumerate(some))
    together = _plain_records(numbered, SOURCE)
    assert together is None or together == list(_any_records(numbered, SOURCE))


@given(st.lists(plain_objects, min_size=1))
def test_plain_lines_are_decoded_together(found: list[dict[str, str | None]]) -> None:
    numbered = [(number, json.dumps(value).encode()) for number, value in enumerate(found)]
    assert _plain_records(numbered, SOURCE) is not None
