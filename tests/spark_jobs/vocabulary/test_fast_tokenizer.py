"""Trained tokenizers: the same bytes from the same counts, round trips, unknown characters, AutoTokenizer."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from mapring.errors import InputError
from mapring.settings.tokenizer import TokenizerSource
from spark_jobs.vocabulary.fast_tokenizer import train_tokenizer
from spark_jobs.vocabulary.learning import covered_characters, expand
from spark_jobs.vocabulary.words import count_words

ENGLISH = [
    f"the {noun} {verb} with a {noun}ly {verb} and {number} others."
    for number, (noun, verb) in enumerate(
        (noun, verb) for noun in ("cat", "dog", "teacher", "bridge") for verb in ("walks", "talked", "walking")
    )
]
CHINESE = ["我来到北京清华大学。", "北京的天气很好,我们去公园吧!", "清华大学的老师来到公园。"]
TEXTS = [*ENGLISH, *CHINESE] * 5
KINDS = ("bpe", "unigram", "wordpiece")


def source(kind: str, **options: Any) -> TokenizerSource:
    return TokenizerSource.model_validate({"train": kind, "vocabulary_size": 450, "character_coverage": 1.0, **options})


def train(chosen: TokenizerSource, texts: list[str] = TEXTS) -> dict[str, bytes]:
    return train_tokenizer(count_words(pa.array(texts), chosen), chosen)


def load(files: dict[str, bytes]) -> Tokenizer:
    return Tokenizer.from_str(files["tokenizer.json"].decode())


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_counts_changes_no_byte(kind: str) -> None:
    chosen = source(kind)
    items = list(count_words(pa.array(TEXTS), chosen).items())
    files = [train_tokenizer(dict(random.Random(seed).sample(items, len(items))), chosen) for seed in range(4)]
    assert all(other == files[0] for other in files)


def test_another_process_makes_the_same_bytes() -> None:
    """Hash tables are seeded anew in each process, which is where orders differ."""
    code = (
        "import hashlib; from tests.spark_jobs.vocabulary import test_fast_tokenizer as t\n"
        "print(*(hashlib.sha256(t.train(t.source(kind))['tokenizer.json']).hexdigest() for kind in t.KINDS))"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    here = [hashlib.sha256(train(source(kind))["tokenizer.json"]).hexdigest() for kind in KINDS]
    assert done.stdout.split() == here


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("text", [*ENGLISH[:3], *CHINESE, "the\ncat\n\nwalks", "cat  cat"])
def test_decoding_gives_back_the_text(kind: str, text: str) -> None:
    tokenizer = load(train(source(kind)))
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_wordpiece_gives_back_the_words() -> None:
    tokenizer = load(train(source("wordpiece")))
    assert tokenizer.decode(tokenizer.encode("the cats walked 北京").ids) == "the cats walked 北 京"
    assert "[UNK]" not in tokenizer.encode("the teacher walks").tokens


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_characters_are_one_unknown_token(kind: str) -> None:
    tokenizer = load(train(source(kind)))
    unknown = tokenizer.token_to_id("[UNK]")
    assert unknown in tokenizer.encode("the ☃").ids
    assert tokenizer.encode("the cat").ids.count(unknown) == 0


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_with_byte_fallback_nothing_is_unknown(kind: str) -> None:
    tokenizer = load(train(source(kind, byte_fallback=True)))
    text = "the ☃ 한국어 zażółć <0x41> \U0001f600"
    ids = tokenizer.encode(text).ids
    assert tokenizer.token_to_id("[UNK]") not in ids
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("kind", KINDS)
def test_the_vocabulary_is_no_larger_than_asked_and_holds_what_was_learned(kind: str) -> None:
    tokenizer = load(train(source(kind, vocabulary_size=200, reserved_tokens=("<ask>",))))
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    assert len(vocabulary) <= 200
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    most = 2 if kind == "unigram" else 1  # tokens of a frequent word; unigram may leave the space apart
    assert len(tokenizer.encode("the the the the").ids) <= 2 + 4 * most
    assert "<ask>" in tokenizer.encode("the <ask> cat").tokens


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_without_room_for_the_characters_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match=r"vocabulary_size: found 64, expected at least \d+ for the characters"):
        train(source(kind, vocabulary_size=64), [*TEXTS, " ".join(map(chr, range(0x400, 0x450)))])


@pytest.mark.parametrize(
    ("template", "first", "last"),
    [("cls_sep", "[CLS]", "[SEP]"), ("eos", None, "</s>"), ("bos_eos", "<s>", "</s>"), ("none", None, None)],
)
def test_the_template_stands_around_texts(template: str, first: str | None, last: str | None) -> None:
    tokenizer = load(train(source("bpe", template=template)))
    tokens = tokenizer.encode("the cat").tokens
    inside = tokenizer.encode("the cat", add_special_tokens=False).tokens
    assert tokens == [*([first] if first else []), *inside, *([last] if last else [])]


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_loads_it(kind: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    files = train(source(kind, reserved_tokens=("<ask>",)))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    loaded = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    text = "the teacher talked 北京"
    assert loaded(text)["input_ids"] == load(files).encode(text).ids
    assert (loaded.pad_token, loaded.unk_token, loaded.mask_token) == ("[PAD]", "[UNK]", "[MASK]")
    assert json.loads(files["tokenizer_config.json"])["sep_token"] == "[SEP]"


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_words_are_cut_as_sentencepiece_cuts_them(kind: str) -> None:
    from sentencepiece import SentencePieceProcessor

    chosen = source(kind)
    counts = count_words(pa.array(TEXTS), chosen)
    tokenizer = load(train_tokenizer(counts, chosen))
    original = SentencePieceProcessor(model_proto=_model(counts, chosen))
    for word in counts:
        assert [token.content if hasattr(token, "content") else token for token in _cut(tokenizer, word)] == [
            original.id_to_piece(index) for index in original.encode(word)
        ]


def _cut(tokenizer: Tokenizer, word: str) -> list[str]:
    return [token.value for token in tokenizer.model.tokenize(word)]


def _model(counts: dict[str, int], chosen: TokenizerSource) -> bytes:
    from spark_jobs.vocabulary.learning import train_sentencepiece

    return train_sentencepiece(counts, chosen, chosen.vocabulary_size - 6)


def test_characters_are_covered_by_frequency_then_code_point() -> None:
    counts = {"aab": 10, "b": 5, "c": 3, "d": 3}
    assert covered_characters(counts, 1.0) == ["a", "b", "c", "d"]
    assert covered_characters(counts, 38 / 41) == ["a", "b", "c"]


def test_an_expansion_is_in_a_fixed_order_and_bounded() -> None:
    counts = {"b": 3, "a": 3, "c": 2000}
    lines = list(expand(counts))
    assert lines == list(expand(dict(reversed(counts.items()))))
    assert [word for line in lines for word in line.split()] == ["c"] * 2000 + ["a"] * 3 + ["b"] * 3
    assert sum(len(line.split()) for line in expand(counts, most=100)) == 96 + 1 + 1
