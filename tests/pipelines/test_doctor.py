"""The doctor: reads versions right, and names what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapring.errors import StageError
from pipelines import doctor
from pipelines.doctor import examine, java_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("no java here", None),
    ],
)
def test_java_versions(text: str, version: int | None) -> None:
    assert java_version(text) == version


def test_this_machine_is_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    examine(None, [])
    shown = capsys.readouterr().out
    assert "Horovod's Gloo controller" in shown and "Horovod's MPI controller" in shown


def test_a_machine_without_java_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "_CHECKS", (doctor._java, doctor._python))
    with pytest.raises(StageError, match="1 problem; what to do"):
        examine(None, [])
    assert "apt-get install openjdk-17-jre-headless" in capsys.readouterr().out.replace("\n", " ")
