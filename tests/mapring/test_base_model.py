"""A published model stands for the transformers directory inside of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mapring.base_model import (
    check_decoder_config,
    decoder_directory,
    license_of,
    named_directory,
    teacher_directory,
    transformers_directory,
)
from mapring.errors import SettingsError
from tests.mapring.publishing import publish
from tests.tiny import write_tokenizer
from tests.tiny_model import publish_tiny_model


def test_a_published_model_and_its_inside_are_one(tmp_path: Path) -> None:
    inside = publish_tiny_model(str(tmp_path / "model"), write_tokenizer(tmp_path / "tokenizer"), "0" * 16)
    assert transformers_directory(str(tmp_path / "model")) == str(inside)
    assert transformers_directory(str(inside)) == str(inside)


def test_a_run_directory_stands_for_its_only_model(tmp_path: Path) -> None:
    first = publish(tmp_path / "models" / "1f0c", transformers="transformers-1f0c")
    (tmp_path / "models" / "7d20").mkdir()  # not published: a training that was killed
    assert named_directory(str(tmp_path)) == first
    assert transformers_directory(str(tmp_path)) == f"{first}/transformers-1f0c"
    publish(tmp_path / "models" / "7d20", transformers="transformers-7d20")
    with pytest.raises(
        SettingsError, match=r"found 2 models in the run directory .* \(1f0c, 7d20\), expected one; give"
    ):
        transformers_directory(str(tmp_path))


def test_what_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    shards = publish(tmp_path / "shards", "shards")
    with pytest.raises(SettingsError, match="found published shards, expected a model; give <run_dir>/models"):
        transformers_directory(shards)
    prefix = publish(tmp_path / "prefix", "model", transformers=None, method="prefix")
    with pytest.raises(SettingsError, match="found a model of method prefix that stock transformers cannot load"):
        transformers_directory(prefix)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"README.md": "---\nlicense: apache-2.0\n---\n# Model\n", "LICENSE": "MIT License\n"},
            "apache-2.0",
        ),
        ({"README.md": "# Model\n---\nlicense: mit\n---\n", "LICENSE": "\n  MIT License\n"}, "MIT License"),
        ({"README.md": "---\nlicense: [\n---\n"}, None),
        ({}, None),
    ],
)
def test_a_model_says_its_license_itself(tmp_path: Path, files: dict[str, str], expected: str | None) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert license_of(str(tmp_path)) == expected


def test_a_plain_directory_of_a_teacher_is_its_own(tmp_path: Path) -> None:
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


def test_a_decoder_is_a_published_one_or_a_plain_directory(tmp_path: Path) -> None:
    found = publish(tmp_path / "models" / "1f0c", task="clm", transformers="transformers-1f0c")
    assert decoder_directory(str(tmp_path)) == decoder_directory(found) == found
    assert decoder_directory(f"{found}/transformers-1f0c") == f"{found}/transformers-1f0c"
    for name, task in (("encoder", "classify"), ("masked", "mlm")):
        other = publish(tmp_path / name, task=task, transformers="transformers-0")
        with pytest.raises(SettingsError, match=f"a published {task}, expected a decoder; give one of train.task=clm"):
            decoder_directory(other)
    lstm = publish(tmp_path / "lstm", task="clm", method="full", transformers=None)
    with pytest.raises(SettingsError, match="that stock transformers cannot load"):
        decoder_directory(lstm)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"architectures": ["BertForMaskedLM"]}', "found BertForMaskedLM in .*config.json, expected a decoder"),
        ("{}", "found no architectures in"),
        ("[]", "found no architectures in"),
        ("{", "that is no JSON"),
    ],
)
def test_an_encoder_is_no_decoder(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}')
    check_decoder_config(str(tmp_path))
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(SettingsError, match=told):
        check_decoder_config(str(tmp_path))
