"""Seals: every changed byte of a sealed log entry, or of the seal itself, is found and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapring.scores.seal import broken_seals, seal, sealed_versions
from tests.mapring.care.test_removal import Killed

ENTRY = b'{"commitInfo":{"timestamp":1}}\n'


def sealed_table(root: Path, versions: int = 2) -> list[Path]:
    log = root / "_delta_log"
    log.mkdir()
    entries = [log / f"{version:020d}.json" for version in range(versions)]
    for version, entry in enumerate(entries):
        entry.write_bytes(ENTRY)
        seal(str(root), version)
        seal(str(root), version)  # again: nothing changes
    return entries


def test_a_whole_table_has_no_problems(tmp_path: Path) -> None:
    assert broken_seals(str(tmp_path)) == [] and sealed_versions(str(tmp_path)) == set()
    sealed_table(tmp_path)
    assert broken_seals(str(tmp_path)) == [] and sealed_versions(str(tmp_path)) == {0, 1}


def test_every_byte_of_entry_and_seal_is_covered(tmp_path: Path) -> None:
    entries = sealed_table(tmp_path)
    for path in [*entries, *(tmp_path / "_mapring").iterdir()]:
        content = path.read_bytes()
        for at in range(len(content)):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            problems = broken_seals(str(tmp_path))
            assert len(problems) == 1 and problems[0].startswith(f"{path}: "), (path, at, problems)
        path.write_bytes(content)


def test_a_missing_entry_is_named_unless_a_later_checkpoint_holds_it(tmp_path: Path) -> None:
    entries = sealed_table(tmp_path)
    entries[0].unlink()
    assert broken_seals(str(tmp_path)) == [f"{entries[0]}: is missing, its seal is there"]
    (tmp_path / "_delta_log" / "_last_checkpoint").write_text("{}")
    assert broken_seals(str(tmp_path)) == []


def test_what_a_kill_left_of_a_seal_is_no_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [entry] = sealed_table(tmp_path, versions=1)
    later = entry.with_name(f"{1:020d}.json")
    later.write_bytes(ENTRY)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("mapring.storage.os.fsync", killed)
        patched.setattr("mapring.storage.Path.unlink", killed)  # a killed process tidies nothing up
        seal(str(tmp_path), 1)
    names = [path.name for path in (tmp_path / "_mapring").iterdir()]
    assert len(names) == 2 and any(name.endswith(".tmp") for name in names)
    assert broken_seals(str(tmp_path)) == [] and sealed_versions(str(tmp_path)) == {0}
    seal(str(tmp_path), 1)
    assert broken_seals(str(tmp_path)) == [] and sealed_versions(str(tmp_path)) == {0, 1}


def killed(*_values: object, **_named: object) -> None:
    raise Killed
