"""A training that could learn nothing from what is preprocessed is refused before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapring.errors import SettingsError
from mapring.settings import load_settings
from mapring.settings.learnable import check_learnable
from pipelines.run import run
from tests.tiny import write_world

WITHOUT = [f"preprocess.inputs.{place}.label_column=null" for place in range(4)]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["train.task=regression"], r"preprocess.labels: found one, expected number for train.task=regression"),
        (["preprocess.labels=several"], r"preprocess.labels: found several, expected one .* or train.task=multilabel"),
        (WITHOUT, r"train.task: found classify, but no label_column"),
        (["train.task=embed"], r"train.task: found embed with single texts, expected pairs that belong together"),
    ],
)
def test_what_no_task_learns_from_is_refused(tmp_path: Path, words: list[str], match: str) -> None:
    config, _ = write_world(tmp_path)
    with pytest.raises(SettingsError, match=match):
        check_learnable(config, load_settings(config, [*words, "score=null"]))
    with pytest.raises(SettingsError, match=match):
        run(config, [*words, "score=null"])
    assert not (tmp_path / "run/shards").exists()


def test_what_fits_is_not(tmp_path: Path) -> None:
    config, _ = write_world(tmp_path)
    check_learnable(config, load_settings(config))
    pair = [f"preprocess.inputs.{place}.second_text_column=more" for place in range(4)] + ["score=null"]
    check_learnable(config, load_settings(config, [*pair, *WITHOUT, "train.task=embed"]))
    with pytest.raises(SettingsError, match="found embed with labelled pairs"):
        check_learnable(config, load_settings(config, [*pair, "train.task=embed"]))
    check_learnable(config, load_settings(config, [*WITHOUT, "score=null", "train.task=mlm"]))
