"""Verdicts on batches of records: dropped ones keep their rule, the others are measured, judged and told apart."""

from __future__ import annotations

import pyarrow as pa

from mapring.settings import Input
from mapring.settings.filters import Filters
from mapring.settings.normalization import Normalization
from spark_jobs.filters.judging import apply_filters
from spark_jobs.formats.raw import RAW, RawRecord
from spark_jobs.records import FirstPass

TEXTS = pa.array(["one two three", None, "one", "buy spam now"])
RULES = pa.array([None, "malformed_record", None, None], pa.string())


def test_the_ledger_s_columns_tell_rule_measured_value_and_bound() -> None:
    verdict = apply_filters(TEXTS, RULES, Filters(minimum_words=2, blocklist=("spam",)))
    assert verdict.rule.to_pylist() == [None, "malformed_record", "too_few_words", "blocklist"]
    assert verdict.measured.to_pylist() == [None, None, "1", "1"]
    assert verdict.threshold.to_pylist() == [None, None, "2", "0"]
    assert verdict.languages.to_pylist() == [None] * 4
    assert verdict.measures.to_pylist() == [[0, 3], None, [0, 1], [1, 3]]  # blocklisted, words


def test_whole_numbers_are_told_with_all_their_digits() -> None:
    texts = pa.array(["x" * 1_000_001, "x" * 1_000_000])
    verdict = apply_filters(texts, pa.nulls(2, pa.string()), Filters(maximum_characters=1_000_000))
    assert verdict.rule.to_pylist() == ["too_many_characters", None]
    assert verdict.measured.to_pylist() == ["1000001", None]
    assert verdict.threshold.to_pylist() == ["1000000", None]


def test_a_wanted_language_is_judged_by_its_score_and_an_unwanted_one_has_none() -> None:
    texts = pa.array(["The weather was fine today.", "Das Wetter war heute schön.", "123"])
    nothing = pa.nulls(3, pa.string())
    verdict = apply_filters(texts, nothing, Filters(languages=("en",)))
    assert verdict.rule.to_pylist() == [None, "language", "language"]
    assert verdict.languages.to_pylist() == ["en", "de", None]
    assert verdict.measured.to_pylist() == [None, "0", "0"] and verdict.threshold.to_pylist() == [None, "0.65", "0.65"]
    (score,) = verdict.measures.to_pylist()[1]
    assert score > 0.65  # of German, as measured


def test_without_filters_nothing_is_measured() -> None:
    for settings in (None, Filters()):
        verdict = apply_filters(TEXTS, RULES, settings)
        assert verdict.rule.equals(RULES) and verdict.measures.null_count == verdict.measured.null_count == 4


def test_batches_without_a_text_to_judge_pass() -> None:
    for texts, rules in ((TEXTS.slice(1, 1), RULES.slice(1, 1)), (TEXTS.slice(0, 0), RULES.slice(0, 0))):
        verdict = apply_filters(texts, rules, Filters(minimum_words=2, presets=("gopher_repetition",)))
        assert verdict.rule.equals(rules) and verdict.measures.null_count == len(texts)


def test_phrases_of_the_blocklist_are_normalized_as_the_texts_are() -> None:
    first_pass = FirstPass(
        segments=(),
        normalization=Normalization(unicode_form="NFKC"),
        filters=Filters(blocklist=("the ofﬁce",)),
        on_rows=lambda _: None,
    )
    raw = pa.RecordBatch.from_pylist([RawRecord(1, text="In the ofﬁce")._asdict()], RAW)
    found = first_pass.classify(Input(name="s", path="s", format="text"), ["s"], raw)
    assert found.column("rule").to_pylist() == ["blocklist"]
