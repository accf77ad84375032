"""A pretrained directory whose body is not there is refused; heads and poolers may be missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from mapring.errors import SettingsError
from tests.training.bert_like import classifier
from training.model import load_pretrained

AUTO = "AutoModelForSequenceClassification"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    model: Any = classifier("bert")
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def rewrite(stored: Path, change: Any) -> None:
    file = stored / "model.safetensors"
    tensors = {new: tensor for name, tensor in load_file(file).items() if (new := change(name)) is not None}
    save_file(tensors, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (lambda name: f"net.{name}", "bert.embeddings.word_embeddings.weight"),
        (lambda name: name if "layer.1.output" not in name else None, "bert.encoder.layer.1.output.LayerNorm.bias"),
    ],
)
def test_a_body_without_weights_is_refused(stored: Path, tmp_path: Path, change: Any, missing: str) -> None:
    rewrite(stored, change)
    with pytest.raises(SettingsError, match=rf"train\.model: .*found no weights.*for {missing} and \d+ more.*belong"):
        load_pretrained(AUTO, str(stored), {}, tmp_path)


def test_a_config_of_other_sizes_is_refused(stored: Path, tmp_path: Path) -> None:
    config = json.loads((stored / "config.json").read_text())
    (stored / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    with pytest.raises(SettingsError, match=r"some of another size, for bert\.encoder\.layer\.0\.intermediate"):
        load_pretrained(AUTO, str(stored), {}, tmp_path)


def test_a_head_and_a_pooler_may_be_missing(stored: Path, tmp_path: Path) -> None:
    rewrite(stored, lambda name: None if "pooler" in name or "classifier" in name else name)
    assert load_pretrained(AUTO, str(stored), {}, tmp_path).head == ("bert.pooler.dense", "classifier")
