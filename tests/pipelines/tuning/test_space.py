"""The space: every end is a valid setting before anything runs, and values come back as the settings have them."""

from __future__ import annotations

import pytest

from mapring.errors import SettingsError
from mapring.settings import load_settings
from pipelines.tuning.space import Choices, Range, make_space, override_words, trial_words, value_of
from tests.pipelines.tuning.conftest import BATCH, RATE, PlanMaker


def test_a_space_has_ranges_choices_and_the_values_as_they_stand(make_tuned_plan: PlanMaker) -> None:
    decay = "tune.space.train.weight_decay={choices: [0, '1e-2']}"
    space = make_space(make_tuned_plan(RATE, BATCH, decay))
    assert space.ranges == {
        "train.learning_rate": Range(1e-5, 1e-2, log=True, step=None, is_whole=False),
        "train.global_batch": Range(16, 48, log=False, step=16, is_whole=True),
        "train.weight_decay": Choices((0.0, 0.01)),
    }
    assert space.defaults == {"train.learning_rate": 1e-3, "train.global_batch": 16, "train.weight_decay": 0.01}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["tune.space: is missing"]),
        (["tune.space.train.global_batch={low: 16, high: 40}"], ["global_batch: found 17", "preprocess.lanes (4)"]),
        (["tune.space.train.global_batch={low: 16, high: 30, step: 14}"], ["found 30", "train.global_batch=30"]),
        (["tune.space.train.learning_rate={low: 0.1, high: 2}"], ["train.learning_rate: found 2.0", "less than 1"]),
        (["tune.space.train.precision={choices: [fp32, fp64]}"], ["train.precision: found 'fp64'"]),
        (
            ["tune.space.train.model.directory={choices: [/nowhere]}"],
            ["train.model: found no config.json in '/nowhere'"],
        ),
        (["tune.space.train.weight_decay={choices: [0.01, '1e-2']}"], ["found a value twice"]),
    ],
)
def test_an_invalid_end_is_told_before_anything_runs(
    make_tuned_plan: PlanMaker, words: list[str], parts: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        make_space(make_tuned_plan(*words))
    message = str(caught.value)
    assert all(part in message for part in parts) and "\n" not in message, message


def test_values_reach_the_settings_as_they_were(make_tuned_plan: PlanMaker) -> None:
    plan = make_tuned_plan()
    values = {
        "train.learning_rate": 1.2345678901234567e-05,
        "train.weight_decay": 1e-9,
        "train.epochs": 3,
        "train.freeze_embeddings": True,
        "train.precision": "bf16",
    }
    settings = load_settings(plan.config, override_words(values))
    assert {name: value_of(settings, name) for name in values} == values


def test_a_watched_trial_is_evaluated_at_checkpoints() -> None:
    assert trial_words({"train.epochs": 2}, watched=False) == ["train.epochs=2", "train.baselines=false"]
    assert "train.evaluate_checkpoints=true" in trial_words({}, watched=True)
