"""A teacher's directory: its own, or what a published model names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mapring.errors import SettingsError
from mapring.teacher import teacher_directory
from tests.mapring.publishing import publish


def test_a_plain_directory_is_its_own(tmp_path: Path) -> None:
    assert teacher_directory(str(tmp_path)) == str(tmp_path)


def test_a_published_classifier_names_its_directory(tmp_path: Path) -> None:
    found = publish(tmp_path, task="classify", transformers="transformers-1f0c")
    assert teacher_directory(found) == f"{tmp_path}/transformers-1f0c"


@pytest.mark.parametrize(
    ("kind", "details", "told"),
    [
        ("shards", {}, "a published shards, expected a classifier"),
        ("model", {"task": "mlm", "transformers": "transformers-1f0c"}, "a published mlm, expected a classifier"),
        (
            "model",
            {"task": "classify", "method": "prefix", "transformers": None},
            "that stock transformers cannot load",
        ),
    ],
)
def test_what_cannot_teach_is_refused(tmp_path: Path, kind: str, details: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        teacher_directory(publish(tmp_path, kind, **details))
