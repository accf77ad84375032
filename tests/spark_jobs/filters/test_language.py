"""Languages: told by the model in the package, without a download, the same in every batch."""

from __future__ import annotations

import socket
from pathlib import Path

import pyarrow as pa
import pytest

from mapring.languages import LANGUAGES
from spark_jobs.filters import language
from spark_jobs.filters.language import identify_languages

EXAMPLES = {
    "en": "The weather was fine and we went for a long walk.",
    "de": "Das Wetter war schön und wir machten einen langen Spaziergang.",
    "fr": "Il faisait beau et nous avons fait une longue promenade.",
    "zh": "天气很好，我们走了很长的路。",
    "ru": "Погода была хорошая, и мы долго гуляли.",
}


def test_languages_are_told_without_network_or_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FTLANG_CACHE", str(tmp_path))
    # connecting is what is forbidden, not making a socket: urllib3 makes one as it is imported, to see if there is IPv6
    monkeypatch.setattr(socket.socket, "connect", lambda *a, **k: pytest.fail("the network was used"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail("the network was used"))
    language._detector.cache_clear()
    codes, scores = identify_languages(pa.array(list(EXAMPLES.values())))
    assert codes.to_pylist() == list(EXAMPLES)
    assert (scores > 0.65).all() and (scores <= 1).all()
    assert not list(tmp_path.iterdir())


def test_a_text_behind_a_long_table_of_numbers_has_a_language() -> None:
    table = "1 2 3 " * 400
    codes, scores = identify_languages(pa.array([table + EXAMPLES["en"], table, table + EXAMPLES["de"]]))
    assert codes.to_pylist() == ["en", None, "de"] and scores[[0, 2]].min() > 0.65


@pytest.mark.parametrize("text", ["", "12 345 - 67.8", "!!! ...", "\n\n", "☃ ☃"])
def test_a_text_without_letters_is_in_no_language(text: str) -> None:
    codes, scores = identify_languages(pa.array(["The cat sat on the mat.", text]))
    assert codes.to_pylist() == ["en", None] and scores[1] == 0


def test_line_breaks_and_length_do_not_matter() -> None:
    lines = EXAMPLES["de"].replace(" ", "\n")
    codes, scores = identify_languages(pa.array([EXAMPLES["de"], lines, EXAMPLES["de"] * 10_000]))
    assert codes.to_pylist() == ["de"] * 3 and scores[0] == scores[1]


def test_no_texts_give_no_languages() -> None:
    codes, scores = identify_languages(pa.array([], pa.string()))
    assert len(codes) == len(scores) == 0 and codes.type == pa.string()


def test_every_label_of_the_model_is_a_known_code() -> None:
    found = language._detector().detect("hello world this", model="lite", k=176)
    labels = {answer["lang"] for answer in found}
    assert labels <= LANGUAGES and len(labels) > 160
