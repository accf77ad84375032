"""Settings of alerts: what is refused, and how it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mapring.errors import SettingsError
from mapring.settings import load_settings
from mapring.settings.alerts import Alerts
from tests.mapring.test_settings import minimal, write


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"webhooks": [{"name": "a"}]}, "expected one of url and url_env"),
        ({"webhooks": [{"name": "a", "url": "https://x", "url_env": "X"}]}, "expected one of url and url_env"),
        ({"webhooks": [{"name": "a", "url": "ftp://x"}]}, "expected one that begins with http"),
        ({"webhooks": [{"name": "a", "url": "https://x"}] * 2}, "found the name 'a' twice"),
        ({"prometheus_file": "alerts.txt"}, "expected a name that ends in .prom"),
        ({"log_file": "s3://bucket/alerts.log"}, "expected a local path"),
        ({"surges": {"timezone": "Mars/Base"}}, "no time zone known here"),
        ({"surges": {"warm_up_days": 30}}, r"expected at most history_days \(28\)"),
        ({"surges": {"false_discovery_rate": 0}}, "greater than 0"),
        ({"sinks": []}, "Extra inputs"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Alerts.model_validate(values)


def test_a_history_without_enough_windows_is_refused(tmp_path: Path) -> None:
    values = {**minimal(), "watch": {"window": "7d"}, "alerts": {}}
    with pytest.raises(SettingsError, match="history_days: found 28, expected at least 35, 5 windows of watch"):
        load_settings(write(tmp_path, values))
    assert load_settings(write(tmp_path, values), ["alerts.surges.history_days=35"]).alerts is not None
    assert load_settings(write(tmp_path, {**values, "alerts": None})).alerts is None


def test_everything_has_a_default() -> None:
    assert Alerts().surges.false_discovery_rate == 0.04 and Alerts().webhooks == ()
