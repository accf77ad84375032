"""What there is to score: a function of what is wanted and what is there, that no clock and no order changes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mapring.lineage import SourceFile
from mapring.scores.empty import empty_name
from mapring.scores.statistics import ScoredInput
from mapring.scores.table import LiveFile, ScoresTable
from mapring.scores.work import Wanted, plan_work

PATHS = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["1", "2", "3"]))


def wanted(content: dict[str, str], **options: Any) -> Wanted:
    """Inputs of one source, by path and identity."""
    files = [SourceFile("s", path, path, 1, identity) for path, identity in content.items()]
    return Wanted(sources=files, settings={"s": "t"}, **{"model": "m", "within": lambda _file: True, **options})


def holding(content: dict[str, str], model: str = "m", settings: str = "t") -> ScoresTable:
    """A table with one file for every two inputs."""
    inputs = [ScoredInput("s", path, identity, model, settings) for path, identity in sorted(content.items())]
    files = [
        LiveFile(path=str(first), bytes=1, rows=2, failed=0, inputs=frozenset(inputs[first : first + 2]))
        for first in range(0, len(inputs), 2)
    ]
    return ScoresTable(uri="", version=0, columns=(), files=tuple(files))


@given(now=PATHS, before=PATHS, drop_gone=st.booleans())
def test_doing_the_work_leaves_none(now: dict[str, str], before: dict[str, str], drop_gone: bool) -> None:
    work = plan_work(wanted(now, drop_gone=drop_gone), holding(before))
    assert {file.relative for file in work.score} == {path for path in now if before.get(path) != now[path]}
    assert work.unchanged + len(work.score) == len(now)
    after = dict(before.items())
    for found in work.leaving:
        del after[found.path]
    for file in work.score:
        assert file.relative not in after, "no input has rows of two scorings"
        after[file.relative] = file.identity
    again = plan_work(wanted(now, drop_gone=drop_gone), holding(after))
    assert again.is_done and again.unchanged == len(now)
    assert after == ({} if drop_gone else {path: before[path] for path in before if path not in now}) | now


def test_another_model_or_other_settings_rescore_all_or_only_what_is_asked_for() -> None:
    content = {"a": "1", "b": "1"}
    assert plan_work(wanted(content, model="n"), holding(content)).reasons == {"other model": 2}
    only_new = plan_work(wanted({**content, "b": "2", "c": "1"}, model="n", keep_older_models=True), holding(content))
    assert only_new.reasons == {"changed": 1, "new": 1} and only_new.unchanged == 1
    other = plan_work(wanted(content, keep_older_models=True), holding(content, settings="u"))
    assert other.reasons == {"other settings": 2}
    asked = plan_work(wanted(content, rescore=True), holding(content))
    assert asked.reasons == {"asked for": 2} and len(asked.leaving) == 2


def test_what_is_outside_the_window_is_neither_scored_nor_taken_out() -> None:
    late = wanted({"a": "1", "b": "2"}, within=lambda file: file.relative == "a", rescore=True)
    work = plan_work(late, holding({"b": "1"}))
    assert [file.relative for file in work.score] == ["a"] and work.outside == 1 and not work.leaving


def test_gone_inputs_are_counted_and_leave_only_when_asked_to() -> None:
    assert plan_work(wanted({"a": "1"}), holding({"a": "1", "b": "1"})).gone == 1
    assert plan_work(wanted({"a": "1"}), holding({"a": "1", "b": "1"})).is_done
    dropped = plan_work(wanted({"a": "1"}, drop_gone=True), holding({"a": "1", "b": "1"}))
    assert [found.path for found in dropped.leaving] == ["b"] and not dropped.score


def test_an_input_without_records_is_read_once_and_again_when_it_changes() -> None:
    one = wanted({"a": "1"})
    empty = {empty_name(one.scored(one.sources[0]))}
    assert plan_work(one, None, empty).is_done
    assert plan_work(wanted({"a": "2"}), None, empty).reasons == {"new": 1}
    assert plan_work(one, holding({"a": "0"}), empty).reasons == {"changed": 1}, "the old rows must leave"
