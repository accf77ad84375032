"""Removal of published directories: killed at any step it leaves nothing half-published, and verify is content."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import pytest

from mapring import contract, storage
from mapring.care import removal
from mapring.care.standing import generations
from mapring.contract import RECORD_NAME, Manifest
from mapring.contract.retired import is_half_removed, was_retired
from mapring.contract.verify import verify

SHARDS, MODEL = "5" * 16, "a" * 16


class Killed(BaseException):
    """Stands for a kill: no `except Exception` catches it."""


@pytest.fixture(params=["local", "memory"])
def run_dir(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A model that was made from shards, each with one file."""
    root = str(tmp_path / "run") if request.param == "local" else f"memory://{uuid.uuid4().hex}/run"
    publish(storage.join(root, "shards", SHARDS), "shards")
    record = storage.read_bytes(storage.join(root, "shards", SHARDS, RECORD_NAME))
    link = {"kind": "shards", "fingerprint": SHARDS, "record_sha256": hashlib.sha256(record).hexdigest()}
    publish(storage.join(root, "models", MODEL), "model", link)
    return root


def publish(directory: str, kind: contract.manifest.Kind, *links: dict[str, str]) -> None:
    entry = contract.write_file(directory, f"data/{contract.content_name('part', b'text', '.bin')}", b"text")
    manifest = Manifest(
        kind=kind,
        fingerprint=directory[-16:],
        created=contract.utc_now(),
        code_version="test",
        settings={},
        inputs=links,
        files=(entry,),
        details={"counts": {"read": 0, "kept": 0, "dropped": {}}, "splits": {}},
    )
    contract.publish(directory, manifest)


def test_what_is_left_of_shards_that_were_removed_on_purpose_is_a_note(run_dir: str) -> None:
    shards, model = storage.join(run_dir, "shards", SHARDS), storage.join(run_dir, "models", MODEL)
    digest = hashlib.sha256(storage.read_bytes(storage.join(shards, RECORD_NAME))).hexdigest()
    assert verify(model) == []
    removal.remove_published(shards, "forgotten")
    assert storage.list_stored(shards) == [] and was_retired(run_dir, "shards", SHARDS, digest)
    assert verify(model) == [], "it was made from something that is known to be gone on purpose"
    removal.remove_published(shards, "again")
    assert len(storage.list_names(storage.join(run_dir, "retired", "shards"))) == 1


def test_shards_that_are_gone_without_a_note_are_still_missed(run_dir: str) -> None:
    storage.remove_tree(storage.join(run_dir, "shards", SHARDS))
    [problem] = verify(storage.join(run_dir, "models", MODEL))
    assert "is missing" in problem


@pytest.mark.parametrize("steps", range(6))
def test_killed_at_any_step_it_is_whole_or_not_published_and_runs_to_its_end_again(
    run_dir: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps are: the note, the record, the manifest, the data; each is the last one that is done."""
    done = []

    def counted(name: str) -> None:
        real = getattr(storage, name)

        def call(uri: str, *values: object) -> object:
            if len(done) >= steps:
                raise Killed
            done.append(name)
            return real(uri, *values)

        monkeypatch.setattr(storage, name, call)

    shards = storage.join(run_dir, "shards", SHARDS)
    for name in ("create", "remove_file", "remove_tree"):
        counted(name)
    if steps < 4:
        with pytest.raises(Killed):
            removal.remove_published(shards, "old")
    else:
        removal.remove_published(shards, "old")
    monkeypatch.undo()
    if steps < 2:
        assert verify(shards) == [], "it is still whole"
    else:
        assert not contract.is_published(shards) and is_half_removed(shards)
    assert verify(storage.join(run_dir, "models", MODEL)) == []
    if steps in (2, 3):
        [one] = [found for found in generations(run_dir) if found.kind == "shards"]
        assert one.is_half_removed
    removal.remove_published(shards, "old")
    assert storage.list_stored(shards) == []


def test_what_is_ours_is_known_by_its_name_and_the_rest_stays(run_dir: str) -> None:
    shards = storage.join(run_dir, "shards", SHARDS)
    contract.write_file(shards, f"data/{contract.content_name('part', b'other', '.parquet')}", b"other")
    contract.write_file(shards, f"data/.part.{'0' * 32}.tmp", b"half")
    contract.write_file(shards, "notes.txt", b"mine")
    storage.create(storage.join(run_dir, "shards", "mine", "x"), b"x")
    found = {one.kind: one for one in generations(run_dir)}
    assert found["shards"].is_published and found["models"].refers == {SHARDS}
    assert sorted(file.bytes for file in found["shards"].dead) == [4, 5]
    assert len(list(generations(run_dir))) == 2, "a folder of another name is not ours"


def test_a_training_goes_with_its_oldest_checkpoint_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = str(tmp_path / "run" / "training" / MODEL)
    for step in ("step-00000001", "step-00000002"):
        publish(storage.join(training, "checkpoints", step), "checkpoint")
    real = removal.remove_directory
    removed: list[str] = []

    def killed_at_the_second(directory: str) -> None:
        if removed:
            raise Killed
        removed.append(directory)
        real(directory)

    monkeypatch.setattr(removal, "remove_directory", killed_at_the_second)
    with pytest.raises(Killed):
        removal.remove_training(training)
    assert verify(storage.join(training, "checkpoints", "step-00000002")) == []
    monkeypatch.undo()
    removal.remove_training(training)
    assert not Path(training).exists()
