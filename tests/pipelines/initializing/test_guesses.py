"""Columns and tasks: guessed where names and values agree, left open where only a person knows."""

from __future__ import annotations

import random

import pytest

from mapring.errors import SettingsError
from pipelines.initializing.columns import (
    Column,
    Columns,
    guess_id,
    guess_label,
    guess_text,
    guess_time,
    measured,
)
from pipelines.initializing.task import guess_task, joined_by

TEXTS = [f"this is the text of row {number}" for number in range(100)]
CLASSES = [("good", "bad", "so so")[number % 3] for number in range(100)]
IDS = [f"r{number}" for number in range(100)]
TIMES = [f"2026-01-{1 + number % 28:02d}T10:00:00" for number in range(100)]
AMOUNTS = [f"{random.Random(number).random():.3f}" for number in range(100)]


def label_of(**columns: list[str]) -> tuple[str | None, tuple[str, ...]]:
    found = guess_label(measured({"text": TEXTS, **columns}), "text")
    return found.name, found.candidates


def test_a_usual_file_is_understood_without_a_question() -> None:
    columns: Columns = {"tweet_id": IDS, "created_at": TIMES, "body": TEXTS, "stars": CLASSES, "lang": ["en"] * 100}
    found = measured(columns)
    assert guess_text(found).name == "body"
    assert guess_label(found, "body").name == "stars"
    assert guess_id(found, ["body", "stars"]).name == "tweet_id"
    assert guess_time(found, ["body", "stars", "tweet_id"]).name == "created_at"


def test_of_two_columns_of_prose_the_much_longer_or_the_one_named_text_is_it_else_nobody_knows() -> None:
    short = [" ".join(text.split()[:3]) for text in TEXTS]
    assert guess_text(measured({"title": short, "story": [text * 5 for text in TEXTS]})).name == "story"
    assert guess_text(measured({"text": short, "note": TEXTS})).name == "text"
    open_ = guess_text(measured({"question": TEXTS, "answer": TEXTS}))
    assert open_.name is None and set(open_.candidates) == {"question", "answer"}


def test_chinese_texts_are_texts() -> None:
    assert guess_text(measured({"a": ["这家酒店很好我喜欢"] * 30, "b": ["好", "坏"] * 15})).name == "a"


def test_without_prose_those_that_are_no_numbers_are_open() -> None:
    found = guess_text(measured({"n": AMOUNTS, "word": IDS}))
    assert found.name is None and found.candidates == ("word",)


def test_labels_by_name_then_by_few_values() -> None:
    assert label_of(label=CLASSES, group=CLASSES) == ("label", ())
    assert label_of(group=CLASSES, row_id=IDS) == ("group", ())
    assert label_of(kind=CLASSES, shop=CLASSES) == (None, ("kind", "shop"))
    assert label_of(category=CLASSES, topic=CLASSES) == (None, ("category", "topic"))
    assert label_of(row_id=IDS, time=TIMES) == (None, ())


def test_many_values_without_a_name_are_asked_about() -> None:
    assert label_of(shop=[f"s{number % 40}" for number in range(100)]) == (None, ("shop",))


def test_a_column_of_ids_is_no_label_even_if_it_is_named_so() -> None:
    assert label_of(label=IDS) == (None, ())


def test_names_that_hold_the_letters_of_a_time_are_labels_like_others() -> None:
    assert label_of(airline_sentiment=CLASSES, row_id=IDS) == ("airline_sentiment", ())
    assert label_of(candidate=CLASSES) == ("candidate", ())
    assert label_of(createdAt=CLASSES, **{"Review Date": CLASSES}, update_time=CLASSES) == (None, ())
    assert guess_time(measured({"sentiment_source": CLASSES}), []).why == ""


def test_a_label_that_names_rows_is_told() -> None:
    assert (
        "column 'label' has another value in each row"
        in guess_label(measured({"text": TEXTS, "label": IDS}), "text").why
    )


def test_times_that_are_not_read_are_told() -> None:
    found = guess_time(measured({"date": ["Mon Apr 06 22:19:45 PDT 2009"] * 5}), [])
    assert found.name is None and "only ISO 8601 and seconds" in found.why


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (CLASSES, "classify"),
        (["1", "2", "3", "4", "5"] * 20, "classify"),
        (AMOUNTS, "regression"),
        ([str(number) for number in range(50)] * 2, "regression"),
        (["a|b", "b|c", "c", "a|c", "a"] * 20, "multilabel"),
        (["Drama, Comedy", "Comedy", "Drama", "Comedy, War", "War"] * 20, "multilabel"),
        ([f"{word}, and more" for word in ("first", "second", "third")] * 20, "classify"),
    ],
)
def test_tasks_follow_from_the_values(values: list[str], task: str) -> None:
    assert guess_task(Column("label", values)).task == task


def test_lists_are_several_labels_and_each_is_counted() -> None:
    found = guess_task(Column("tags", [("a", "b"), ("b",), ()] * 5))
    assert found.task == "multilabel" and found.counts == {"a": 5, "b": 10}


def test_numbers_that_name_labels_are_joined_by_commas_where_that_is_said() -> None:
    found = guess_task(Column("tags", ["1,2", "2,3", "3", "1,3"] * 10), "multilabel")
    assert found.counts == {"1": 20, "2": 20, "3": 30}


def test_counts_of_joined_labels_add_up() -> None:
    found = guess_task(Column("tags", ["a;b", "b", "b;a", "c;b"] * 5))
    assert found.separator == ";" and found.counts == {"a": 10, "b": 20, "c": 5}
    assert joined_by({"x": 3, "y": 4}) is None


@pytest.mark.parametrize(
    ("values", "wanted", "part"),
    [
        (IDS, None, "100 different values in 100 rows, which looks like ids"),
        ([str(number) for number in range(100)], None, "100 different values in 100 rows, which looks like ids"),
        (["same"] * 30, None, "the label 'same' in all 30 rows"),
        (["", " "], None, "no value in it"),
        (CLASSES, "regression", "found 'good', expected numbers"),
        (["3"] * 30, "regression", "the number 3 in every row"),
        (CLASSES, "multilabel", "no value that joins several names"),
        (["4,5", "3", "4", "2,5"] * 20, None, "found '4,5', a number with a comma"),
        (["-1.234,50", "0,5"] * 20, "regression", "write it with a point"),
        (["['a', 'b']", "['b']", "['c', 'a']"] * 20, None, "a list in brackets, expected a label or a number; join"),
        ([("a",)[:0]] * 30, None, "found lists without a text or number in them"),
    ],
)
def test_what_cannot_be_learned_is_refused_with_a_way_out(values: list[str], wanted: str | None, part: str) -> None:
    with pytest.raises(SettingsError) as caught:
        guess_task(Column("label", values), wanted)  # type: ignore[arg-type]
    assert part in str(caught.value) and ("pass --label" in str(caught.value) or "leave --task" in str(caught.value))
