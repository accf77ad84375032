"""The contract: a publish is seen whole or not at all, and `verify` names whatever changed after it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pytest

from mapring import storage
from mapring.contract import Manifest, code_version, is_published, publish, read_manifest, utc_now, write_file
from mapring.contract.manifest import FileEntry
from mapring.contract.verify import verify
from mapring.errors import PublishedError
from spark_jobs.tables import parquet_bytes


def make_shards(directory: Path, fingerprint: str = "0" * 16, *, kept: int = 3, dropped: int = 1) -> Manifest:
    """A small but complete shards directory, unpublished."""
    content = parquet_bytes(pa.table({"doc_id": ["a", "b", "c"]}), 10)
    ledger = parquet_bytes(pa.table({"doc_id": ["d"]}), 10)
    files = (
        write_file(str(directory), "data/train-0.parquet", content, 3),
        write_file(str(directory), "drops/drops-0.parquet", ledger, 1),
        write_file(str(directory), "tokenizer/tokenizer.json", b"{}"),
    )
    return Manifest(
        kind="shards",
        fingerprint=fingerprint,
        created=utc_now(),
        code_version=code_version(),
        settings={"seed": 1},
        inputs=({"source": "a", "path": "a.csv", "bytes": 1, "identity": "sha256:0"},),
        files=files,
        details={
            "counts": {"read": kept + dropped, "kept": kept, "dropped": {"empty_text": dropped}},
            "splits": {"train": {"rows": 3}, "test": {"rows": 0}},
        },
    )


def test_a_manifest_survives_its_json_form(tmp_path: Path) -> None:
    manifest = make_shards(tmp_path)
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_nothing_is_published_before_the_record_and_only_the_first_publish_counts(tmp_path: Path) -> None:
    manifest = make_shards(tmp_path)
    assert not is_published(str(tmp_path))
    with pytest.raises(PublishedError, match=r"found no published\.json"):
        read_manifest(str(tmp_path))
    assert publish(str(tmp_path), manifest) is True
    other = make_shards(tmp_path, "1" * 16)
    assert publish(str(tmp_path), other) is False
    assert read_manifest(str(tmp_path)).fingerprint == "0" * 16
    assert verify(str(tmp_path)) == []


def published_files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("position", ["first", "middle", "last"])
@pytest.mark.parametrize("bit", [0x01, 0x20])
def test_one_flipped_bit_in_any_file_is_found_and_named(tmp_path: Path, position: str, bit: int) -> None:
    publish(str(tmp_path), make_shards(tmp_path))
    files = published_files(tmp_path)
    assert len(files) == 5
    for path in files:
        content = path.read_bytes()
        at = {"first": 0, "middle": len(content) // 2, "last": len(content) - 1}[position]
        path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        problems = verify(str(tmp_path))
        assert problems and str(path) in problems[0], f"{path.name}: {problems}"
        path.write_bytes(content)
    assert verify(str(tmp_path)) == []


def test_every_byte_of_the_record_is_covered(tmp_path: Path) -> None:
    publish(str(tmp_path), make_shards(tmp_path))
    record = tmp_path / "published.json"
    content = record.read_bytes()
    for at in range(len(content)):
        for bit in (0x01, 0x20, 0x80):
            record.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
            assert any("published.json" in problem for problem in verify(str(tmp_path))), (at, bit)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    publish(str(tmp_path), make_shards(tmp_path))
    (tmp_path / "tokenizer/tokenizer.json").unlink()
    assert verify(str(tmp_path)) == [f"{tmp_path}/tokenizer/tokenizer.json: is missing or cannot be read"]


@pytest.mark.parametrize(("kept", "dropped"), [(2, 1), (3, 2)])
def test_counts_that_do_not_add_up_are_found(tmp_path: Path, kept: int, dropped: int) -> None:
    publish(str(tmp_path), make_shards(tmp_path, kept=kept, dropped=dropped))
    assert any("does not hold" in problem for problem in verify(str(tmp_path)))


def test_a_model_whose_shards_changed_or_vanished_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards, model = tmp_path / "shards" / ("0" * 16), tmp_path / "models" / ("2" * 16)
    publish(str(shards), make_shards(shards))
    record = (shards / "published.json").read_bytes()
    link = {"kind": "shards", "fingerprint": "0" * 16, "record_sha256": hashlib.sha256(record).hexdigest()}
    entry = write_file(str(model), "card.md", b"card")
    manifest = Manifest(
        kind="model",
        fingerprint="2" * 16,
        created=utc_now(),
        code_version="0",
        settings={},
        inputs=(link,),
        files=(entry,),
    )
    publish(str(model), manifest)
    assert verify(str(model)) == []
    for here in (tmp_path, tmp_path / "models", model):
        monkeypatch.chdir(here)
        assert verify(os.path.relpath(model)) == []
    (shards / "published.json").write_bytes(record + b" ")
    assert any("is not the one" in problem for problem in verify(str(model)))
    (shards / "published.json").unlink()
    assert any("is missing" in problem for problem in verify(str(model)))


def test_a_manifest_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="schema_version 3, made by a newer mapring"):
        Manifest.from_json(make_shards(tmp_path).to_json().replace(b'"schema_version":2', b'"schema_version":3'))


def test_an_entry_describes_its_content() -> None:
    entry = FileEntry.of("a", b"abc", 1)
    assert (entry.bytes, entry.sha256) == (3, hashlib.sha256(b"abc").hexdigest())


def test_the_contract_works_in_an_object_store() -> None:
    directory = "memory://contract/shards/x"
    entry = write_file(directory, "data/a.bin", b"abc")
    manifest = Manifest(
        kind="checkpoint", fingerprint="x", created="", code_version="", settings={}, inputs=(), files=(entry,)
    )
    assert publish(directory, manifest)
    assert verify(directory) == []
    storage.replace(storage.join(directory, "data/a.bin"), b"abd")
    assert verify(directory) == [f"{directory}/data/a.bin: checksum differs from the manifest"]
