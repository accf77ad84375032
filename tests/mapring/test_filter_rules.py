"""Rules: the published numbers, bounds to the last bit of what is stored, and the order of verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from mapring.filter_rules import PRESETS, RULE_NAMES, Rule, judge, measures_of, rules_of, written
from mapring.languages import LANGUAGES
from mapring.settings.filters import Filters

# (measure, "min" or "max", bound), typed from the papers and from nowhere else.
PUBLISHED = {
    "gopher_quality": [  # Rae et al. 2021, A.1.1
        ("words", "min", 50),
        ("words", "max", 100_000),
        ("mean_word_length", "min", 3),
        ("mean_word_length", "max", 10),
        ("hashes_per_word", "max", 0.1),
        ("ellipses_per_word", "max", 0.1),
        ("bullet_line_share", "max", 0.9),
        ("ellipsis_line_share", "max", 0.3),
        ("alphabetic_word_share", "min", 0.8),
        ("stop_words", "min", 2),
    ],
    "gopher_repetition": [  # the same, table A1
        ("duplicate_paragraph_share", "max", 0.30),
        ("duplicate_paragraph_character_share", "max", 0.20),
        ("duplicate_line_share", "max", 0.30),
        ("duplicate_line_character_share", "max", 0.20),
        ("top_2_gram_share", "max", 0.20),
        ("top_3_gram_share", "max", 0.18),
        ("top_4_gram_share", "max", 0.16),
        ("duplicate_5_gram_share", "max", 0.15),
        ("duplicate_6_gram_share", "max", 0.14),
        ("duplicate_7_gram_share", "max", 0.13),
        ("duplicate_8_gram_share", "max", 0.12),
        ("duplicate_9_gram_share", "max", 0.11),
        ("duplicate_10_gram_share", "max", 0.10),
    ],
    "c4": [("sentences", "min", 3), ("lorem_ipsum", "max", 0), ("curly_brackets", "max", 0)],  # Raffel et al. 2020, 2.2
    "fineweb": [  # Penedo et al. 2024, 3.6; the last from the code published with it
        ("punctuated_line_share", "min", 0.12),
        ("short_line_share", "max", 0.67),
        ("duplicate_line_character_share", "max", 0.1),
        ("line_breaks_per_word", "max", 0.3),
    ],
}
EVERY_RULE = [rule for rules in PRESETS.values() for rule in rules]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_have_exactly_the_published_numbers(preset: str) -> None:
    found = [
        (rule.measure, "min" if rule.minimum is not None else "max", rule.threshold)
        for rule in rules_of(Filters(presets=(preset,)))  # type: ignore[arg-type]
    ]
    assert found == PUBLISHED[preset]


def test_every_rule_has_one_bound_and_a_name_of_its_own() -> None:
    assert all((rule.minimum is None) != (rule.maximum is None) for rule in EVERY_RULE)
    assert len(set(RULE_NAMES)) == len(RULE_NAMES) == 6 + 10 + 13 + 3 + 4


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda rule: rule.name)
def test_a_value_equal_to_the_bound_stays_and_the_next_float_outside_is_dropped(rule: Rule) -> None:
    bound = np.float32(rule.threshold)
    outside = np.nextafter(bound, np.float32(-np.inf if rule.minimum is not None else np.inf))
    inside = np.nextafter(bound, np.float32(np.inf if rule.minimum is not None else -np.inf))
    assert rule.fails(np.array([bound, outside, inside], np.float32)).tolist() == [False, True, False]


def test_bounds_are_compared_in_the_precision_of_what_is_stored() -> None:
    """float32(0.1) is more than 0.1: compared as float64, one hash in ten words would be above 0.1."""
    stored = np.array([1 / 10], np.float32)
    assert float(stored[0]) > 0.1
    assert not Rule("r", "m", maximum=0.1).fails(stored)[0]


def verdict(settings: Filters, languages: list[str | None] | None = None, **measures: list[float]) -> list[str | None]:
    rules = rules_of(settings)
    count = len(next(iter(measures.values())))
    stored = {name: np.array(values, np.float32) for name, values in measures.items()}
    position, _ = judge(stored, pa.array(languages or [None] * count, pa.string()), rules, settings, count)
    return [rules[index].name if index >= 0 else None for index in position]


def test_rules_stand_in_the_order_in_which_they_drop() -> None:
    settings = Filters(
        languages=("en",),
        minimum_words=1,
        maximum_words=9,
        minimum_characters=1,
        maximum_characters=99,
        blocklist=("x",),
        presets=("fineweb", "c4"),
    )
    names = [rule.name for rule in rules_of(settings)]
    assert names[:7] == [
        "language",
        "too_few_words",
        "too_many_words",
        "too_few_characters",
        "too_many_characters",
        "blocklist",
        "c4_sentences",  # presets in one order, whatever the order in the settings
    ]
    assert names[9:] == [rule.name for rule in PRESETS["fineweb"]]


def test_the_first_broken_rule_is_the_verdict() -> None:
    settings = Filters(minimum_words=10, maximum_characters=100, blocklist=("x",))
    measures = {"words": [9, 9, 10, 10], "characters": [101, 100, 101, 100], "blocklisted": [1, 1, 1, 1]}
    expected = ["too_few_words", "too_few_words", "too_many_characters", "blocklist"]
    assert verdict(settings, **measures) == expected
    measures["blocklisted"] = [0, 0, 0, 0]
    assert verdict(settings, **measures) == [*expected[:3], None]


def test_a_language_is_kept_by_code_and_score() -> None:
    settings = Filters(languages=("de", "en"), minimum_language_score=0.5)
    found = verdict(settings, ["en", "de", "en", "fr", None], language_score=[0.5, 0.9, 0.49, 0.99, 0.0])
    assert found == [None, None, "language", "language", "language"]
    assert measures_of(rules_of(settings)) == ("language_score",)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (8, "8"),
        (1_000_001, "1000001"),
        (np.float32(1_234_567), "1234567"),
        (0.65, "0.65"),
        (np.float32(0.1), "0.1"),
        (1 / 3, "0.333333"),
        (1234567.5, "1.23457e+06"),
        (float("inf"), "inf"),
    ],
)
def test_measures_and_bounds_are_written_for_people(value: float, expected: str) -> None:
    assert written(value) == expected


def test_thresholds_replace_published_ones_and_only_of_rules_in_use() -> None:
    rules = rules_of(Filters(presets=("c4",), thresholds={"c4_sentences": 5}))
    assert next((rule.name, rule.threshold) for rule in rules) == ("c4_sentences", 5)
    for thresholds, said in (
        ({"c4_sentence": 5}, "unknown rule; did you mean c4_sentences"),
        ({"gopher_hashes": 1}, "the rule is not in use"),
    ):
        with pytest.raises(ValidationError, match=said):
            Filters(presets=("c4",), thresholds=thresholds)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"languages": ("english",)}, "found 'english', expected codes"),
        ({"blocklist": ("spam", " ")}, "an empty phrase, which every document holds"),
        ({"minimum_language_score": 1.5}, "less than or equal to 1"),
        ({"presets": ("gopher",)}, "gopher_quality"),
    ],
)
def test_settings_that_would_drop_everything_or_nothing_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Filters(**values)


def test_there_are_176_languages() -> None:
    assert len(LANGUAGES) == 176
