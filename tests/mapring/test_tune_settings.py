"""The space of a search: what may stand in it, and what is said where it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapring.errors import SettingsError
from mapring.figure_names import FIGURE_NAMES, LESS_IS_BETTER, MORE_IS_BETTER
from mapring.settings import load_settings, output_settings
from mapring.settings.tune import Tune
from tests.mapring.test_settings import minimal, write


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("loss", "minimize"),
        ("perplexity", "minimize"),
        ("bits_per_byte", "minimize"),
        ("mse", "minimize"),
        ("mae", "minimize"),
        ("r2", "maximize"),
        ("accuracy", "maximize"),
        ("macro_f1", "maximize"),
        ("recall_at_10", "maximize"),
    ],
)
def test_less_is_better_of_losses_and_errors_only(metric: str, direction: str) -> None:
    assert Tune(metric=metric).direction == direction


def test_a_figure_that_no_model_has_is_refused_before_the_first_training() -> None:
    with pytest.raises(ValueError, match=r"found 'acuracy', expected one of: loss, .*; did you mean accuracy\?"):
        Tune(metric="acuracy")
    with pytest.raises(ValueError, match="found 'rows', expected one of: loss, "):
        Tune(metric="rows")


def test_every_figure_that_people_are_shown_has_a_direction() -> None:
    assert {*FIGURE_NAMES} <= {*LESS_IS_BETTER, *MORE_IS_BETTER}


def test_a_space_is_read_from_the_file_and_from_overrides(tmp_path: Path) -> None:
    values = {**minimal(), "tune": {"space": {"train.learning_rate": {"low": "1e-5", "high": 1e-3, "log": True}}}}
    words = ["tune.trials=3", "tune.space.train.epochs={low: 1, high: 3}", "tune.space.train.wire={choices: [fp32]}"]
    tune = load_settings(write(tmp_path, values), words).tune
    assert list(tune.space) == ["train.learning_rate", "train.epochs", "train.wire"]
    assert tune.space["train.learning_rate"].low == 1e-5 and tune.space["train.wire"].choices == ("fp32",)


def test_no_setting_of_a_search_enters_a_fingerprint() -> None:
    assert output_settings(Tune()) == {}


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        (
            "train.lerning_rate={low: 1, high: 2}",
            ["train.lerning_rate: unknown setting", "did you mean learning_rate?"],
        ),
        ("train.nothing.at={low: 1, high: 2}", ["train.nothing.at: unknown setting"]),
        ("train.epochs.more={low: 1, high: 2}", ["train.epochs.more: unknown setting"]),
        ("preprocess.max_length={choices: [64]}", ["expected a setting of train", "other shards"]),
        ("seed={choices: [1, 2]}", ["tune.space.seed: expected a setting of train"]),
        ("train={choices: [1]}", ["tune.space.train: expected a setting of train"]),
        ("train.keep_checkpoints={low: 1, high: 2}", ["does not change the model"]),
        ("train.baselines={choices: [true, false]}", ["does not change the model"]),
        ("train.precision={low: 1, high: 2}", ["no number; give choices"]),
        ("train.freeze_embeddings={low: 0, high: 1}", ["no number; give choices"]),
        ("train.epochs={low: 1, high: 2.5}", ["train.epochs.high: found 2.5, expected a whole number"]),
        ("train.epochs={}", ["found neither choices nor low and high"]),
        ("train.epochs={low: 1}", ["found neither choices nor low and high"]),
        ("train.epochs={low: 2, high: 1}", ["found low 2 and high 1"]),
        ("train.epochs={low: 1, high: 2, choices: [1]}", ["found choices and a range"]),
        ("train.epochs={choices: [1, 1]}", ["found a choice twice"]),
        ("train.weight_decay={low: 0, high: 1, log: true}", ["found low 0 with log=true"]),
        ("train.weight_decay={low: 1, high: 2, log: true, step: 1}", ["found log and step"]),
        ("train.weight_decay={low: 0, high: 1, step: 0.3}", ["plus a multiple of step 0.3"]),
        ("train.weight_decay={low: 0, high: 1, stepp: 0.3}", ["stepp", "unknown key"]),
    ],
)
def test_what_cannot_be_tried_is_told_with_its_name(tmp_path: Path, word: str, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, minimal()), [f"tune.space.{word}"])
    message = str(caught.value)
    assert all(part in message for part in parts) and "\n" not in message, message


def test_decimal_steps_count_as_people_count_them(tmp_path: Path) -> None:
    load_settings(write(tmp_path, minimal()), ["tune.space.train.warmup_share={low: 0.1, high: 0.7, step: 0.2}"])
