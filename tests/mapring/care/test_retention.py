"""What goes and what stays, from what stands there: by number, age, use and descent."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from mapring.care.retention import InUse, Removal, choose
from mapring.care.standing import Folder, Generation, Training
from mapring.settings.retention import Retention
from mapring.storage import StoredFile

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
OLD = NOW - datetime.timedelta(days=30)
YOUNG = NOW - datetime.timedelta(hours=167)


def made(kind: str, name: str, refers: str = "", day: int = 1, **values: Any) -> Generation:
    given = {"is_published": True, "changed": OLD, "created": f"2026-01-{day:02d}", "bytes": 7, **values}
    return Generation(kind=kind, name=name, directory=f"run/{kind}/{name}", refers=frozenset(refers.split()), **given)


def gone(found: list[Generation], named: str = "", live: str = "", **retention: int) -> list[str]:
    return [f"{one.kind} {one.directory[-2:]}" for one in chosen(found, named, live, **retention)]


def chosen(found: list[Generation], named: str = "", live: str = "", **retention: int) -> list[Removal]:
    in_use = InUse(named=frozenset(named.split()), live=frozenset(live.split()))
    return choose(found, [], [], in_use, Retention(**retention), NOW)


def test_the_newest_of_each_kind_stay_and_take_along_what_they_were_made_from() -> None:
    shards = [made("shards", f"s{day}", day=day) for day in range(1, 6)]
    models = [made("models", f"m{day}", f"s{day}", day=day) for day in range(1, 6)]
    assert gone([*shards, *models], shards=1, models=2) == ["models m1", "models m2", "models m3"] + [
        f"shards s{day}" for day in (1, 2, 3)
    ], "s4 is older than the newest, but m4 stays"
    assert gone([*shards, *models], shards=0, models=0) == [f"models m{day}" for day in range(1, 6)] + [
        f"shards s{day}" for day in range(1, 6)
    ]
    assert gone([*shards, *models], shards=9, models=9) == []


def test_what_settings_name_and_live_rows_rest_on_stays_with_all_that_is_behind_it() -> None:
    found = [
        made("shards", "s0"),
        made("shards", "s1", "s0"),
        made("models", "m1", "s1"),
        made("models", "m2", "s1 m1"),
        made("models", "m3", "s1"),
        made("backends", "b2", "m2 s1"),
        made("backends", "b3", "m3 s1"),
    ]
    nothing = {"shards": 0, "models": 0, "backends": 0}
    assert gone(found, live="m2", **nothing) == ["backends b3", "models m3"]
    assert gone(found, named="m3", **nothing) == ["backends b2", "models m1", "models m2"]
    assert gone(found, named="b2", **nothing) == ["backends b3", "models m3"]


def test_nothing_young_goes_and_keeps_what_it_was_made_from() -> None:
    found = [made("shards", "s1"), made("models", "m1", "s1", changed=YOUNG), made("models", "m2", "s1")]
    assert gone(found, shards=0, models=0) == ["models m2"]
    assert gone(found, shards=0, models=0, min_age_hours=167) == ["models m2"], "exactly as old is not older"
    assert gone(found, shards=0, models=0, min_age_hours=166) == ["models m1", "models m2", "shards s1"]


def test_attempts_go_when_they_are_old_unless_the_settings_would_go_on_with_them() -> None:
    attempt = {"is_published": False, "created": ""}
    found = [
        made("shards", "a1", **attempt),
        made("shards", "a2", **{**attempt, "changed": YOUNG}),
        made("shards", "a3", **attempt),
        made("models", "a4", **{**attempt, "changed": None}),
    ]
    assert gone(found, named="a3") == ["models a4", "shards a1"]
    halves = [made("models", "h1", is_published=False, is_half_removed=True)]
    assert [one.why for one in chosen(halves)] == ["what a killed removal left"]


def test_a_damaged_directory_is_left_alone() -> None:
    assert gone([made("models", "m1", is_damaged=True)], models=0) == []


def test_files_that_no_manifest_names_go_from_what_stays() -> None:
    files = [StoredFile(f"run/x/{age}", str(age), 5, age) for age in (OLD, YOUNG)]
    [found] = chosen([made("shards", "s1", dead=tuple(files))])
    assert found.files == (f"run/x/{OLD}",) and found.bytes == 5 and "1 files of earlier attempts" in found.why


@pytest.mark.parametrize(("count", "expected"), [(0, "t1 t2"), (1, "t1"), (2, "")])
def test_training_directories_go_by_number_and_unfinished_checkpoints_by_age(count: int, expected: str) -> None:
    def trained(name: str, day: int, changed: datetime.datetime = OLD) -> Training:
        moment = changed + datetime.timedelta(minutes=day)
        step = Folder(directory=f"run/training/{name}/checkpoints/step-1", bytes=3, changed=changed)
        return Training(name=name, directory=f"run/training/{name}", bytes=9, changed=moment, unfinished=(step,))

    given = [trained("t1", 1), trained("t2", 2), trained("mm", 0), trained("t4", 0, YOUNG)]
    in_use = InUse(named=frozenset({"mm"}), live=frozenset())
    found = choose([], given, [], in_use, Retention(trainings=count + 1), NOW)
    assert [one.directory[-2:] for one in found if one.kind == "trainings"] == expected.split(), "t4 is the newest"
    unfinished = {one.directory for one in found if one.kind == "training"}
    stay = {"t1", "t2", "mm"} - set(expected.split())
    assert unfinished == {f"run/training/{name}/checkpoints/step-1" for name in stay}


def test_scratch_goes_when_it_is_old() -> None:
    found = [Folder(directory=f"run/scratch/{age}", bytes=1, changed=age) for age in (OLD, YOUNG)]
    nothing = InUse(named=frozenset(), live=frozenset())
    assert [one.directory for one in choose([], [], found, nothing, Retention(), NOW)] == [f"run/scratch/{OLD}"]
