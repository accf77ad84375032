"""The section of scheduled runs: what may stand in it, and what is said where it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mapring.errors import SettingsError
from mapring.settings import load_settings, output_settings
from mapring.settings.schedule import Schedule
from tests.mapring.test_settings import minimal, write


def test_a_text_is_the_cron_and_nothing_enters_a_fingerprint(tmp_path: Path) -> None:
    schedule = load_settings(write(tmp_path, {**minimal(), "schedule": "0 6 * * 1-5"})).schedule
    assert schedule is not None and (schedule.cron, schedule.timezone) == ("0 6 * * 1-5", "UTC")
    assert output_settings(schedule) == {}
    assert load_settings(write(tmp_path, minimal())).schedule is None


def test_one_setting_more_can_be_given_beside_the_text(tmp_path: Path) -> None:
    config = write(tmp_path, {**minimal(), "schedule": "0 6 * * *"})
    schedule = load_settings(config, ["schedule.timezone=Europe/Berlin"]).schedule
    assert schedule == Schedule(cron="0 6 * * *", timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("61 * * * *", r"'61 \* \* \* \*' \(bad minute\), expected five fields \(minute hour"),
        ("* * * *", r"found 4 fields in '\* \* \* \*', expected five fields"),
        ("0 0 * * * * *", "found 7 fields"),
        ("@daily", r"write it as '0 0 \* \* \*'"),
        ("@reboot", "found '@reboot', expected five fields"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("0 0 * * MON#9", "bad day-of-week"),
        ("", "found 0 fields"),
    ],
)
def test_a_cron_that_is_none_is_explained(cron: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"schedule\.cron: .*{said}"):
        load_settings(write(tmp_path, {**minimal(), "schedule": {"cron": cron}}))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"timezone": "Europe/Berlni"}, "schedule.timezone: found 'Europe/Berlni'.* did you mean Europe/Berlin?"),
        ({"timezone": "../etc"}, "expected an IANA name"),
        ({"catch_up": "some"}, "schedule.catch_up: found 'some'"),
        ({"most_missed": 5}, "most_missed: found it with catch_up=latest, which does not use it"),
        ({"late_seconds": 5, "catch_up": "all"}, "late_seconds: found it with catch_up=all"),
        ({"crom": "* * * * *"}, "unknown key; did you mean cron?"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(write(tmp_path, {**minimal(), "schedule": {"cron": "* * * * *", **values}}))


def test_a_pipeline_without_score_can_only_be_run_as_a_whole(tmp_path: Path) -> None:
    values = {name: value for name, value in minimal().items() if name != "score"}
    with pytest.raises(SettingsError, match=r"schedule\.command: found score in a pipeline without score"):
        load_settings(write(tmp_path, {**values, "schedule": "* * * * *"}))
    config = write(tmp_path, {**values, "schedule": {"cron": "* * * * *", "command": "run"}})
    assert load_settings(config).schedule is not None
