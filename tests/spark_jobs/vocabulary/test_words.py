"""Words are counted with the patterns that the trained tokenizer cuts with."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, normalizers, pre_tokenizers

from mapring.settings.tokenizer import TokenizerSource, Training
from spark_jobs.vocabulary.words import HAN_RUN, PIECE, SPACE, count_words

BPE, WORDPIECE = TokenizerSource(train="bpe"), TokenizerSource(train="wordpiece")


def count(text: str, source: TokenizerSource) -> dict[str, int]:
    return dict(count_words(pa.array([text, None]), source))


def test_a_word_has_its_space_and_numbers_have_three_digits() -> None:
    found = count("Don't pay 12345 €, pay", BPE)
    expected = [f"{SPACE}Don", "'", "t", f"{SPACE}pay", f"{SPACE}123", "45", f"{SPACE}€,", f"{SPACE}pay"]
    assert found == Counter(expected)


def test_a_run_of_chinese_is_counted_by_the_words_in_it() -> None:
    assert count("我来到北京清华大学, ok", BPE) == Counter([SPACE, "我", "来到", "北京", "清华大学", ",", f"{SPACE}ok"])


def test_wordpiece_has_signs_and_chinese_characters_apart() -> None:
    assert count("It's 北京: ok\nok", WORDPIECE) == Counter(["It", "'", "s", "北", "京", ":", "ok", "ok"])


def test_case_is_lowered_where_asked() -> None:
    assert count("Ab AB", TokenizerSource(train="wordpiece", lowercase=True)) == {"ab": 2}


def test_what_the_tokenizer_does_not_see_is_not_learned() -> None:
    text = "می\u200cخواهم Donau\u00addampfer"
    assert count(text, WORDPIECE) == {"میخواهم": 1, "Donaudampfer": 1}
    normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=False)
    assert normalizer.normalize_str(text) == "میخواهم Donaudampfer"


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece"])
def test_the_case_of_turkish_letters_is_lowered_as_the_tokenizer_does(kind: Training) -> None:
    found = count("İstanbul", TokenizerSource(train=kind, lowercase=True))
    assert "".join(found).lstrip(SPACE) == "i\u0307stanbul" == normalizers.Lowercase().normalize_str("İstanbul")


def test_overlong_words_are_cut_and_lines_end_words() -> None:
    assert count("a" * 150 + "\nb", BPE) == {SPACE + "a" * 63: 1, "a" * 64: 1, "a" * 23: 1, "b": 1}


@given(st.text(st.sampled_from("ab é́Жб中国人한글ไทย019 .,!'\"€_<>\n"), max_size=40))
@settings(max_examples=200, deadline=None)
@pytest.mark.parametrize("run", [HAN_RUN])
def test_the_counted_pieces_are_those_that_the_tokenizer_cuts(run: str, text: str) -> None:
    cutter = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(run), "isolated"), pre_tokenizers.Split(Regex(PIECE), "isolated")]
    )
    cut = [piece for piece, _ in cutter.pre_tokenize_str(SPACE + text.replace(" ", SPACE))]
    expected: Counter[str] = Counter()
    for piece in cut:
        if "\u4e00" <= piece[0] <= "\u9fff":
            expected.update(character for character in piece)
        elif piece != "\n":
            expected[piece] += 1
    found: Counter[str] = Counter()
    for word, times in count(text, BPE).items():
        parts = list(word) if "\u4e00" <= word[0] <= "\u9fff" else [word]
        found.update(parts * times)
    assert found == expected
