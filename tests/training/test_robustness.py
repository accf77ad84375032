"""Robustness: figures of changed texts, the same on any number of ranks."""

from __future__ import annotations

import pytest
import torch

from mapring.errors import SettingsError
from mapring.perturbation import KINDS
from tests.training.conftest import PlanMaker
from tests.training.running import fit
from tests.training.thread_ring import ThreadRing, run_ranks
from training.ring.single import SingleRing
from training.robustness import robustness


def test_figures_are_the_same_on_any_number_of_ranks_and_fall_where_words_change(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan("train.epochs=6")
    training, _ = fit(plan)
    plain = training.task.evaluate(training.model, SingleRing(), plan.shards_directory, "test")
    alone = robustness(training.task, training.model, SingleRing(), plan.shards_directory, seed=1)
    assert list(alone) == list(KINDS)
    assert plain["accuracy"] > 0.9
    assert alone["upper_case"]["accuracy"] < 0.8  # all words are unknown to this tokenizer in capitals
    assert alone["lower_case"]["accuracy"] == plain["accuracy"]  # nothing changes

    def work(ring: ThreadRing) -> dict:
        torch.set_num_threads(1)
        return robustness(training.task, training.model, ring, plan.shards_directory, seed=1)

    assert run_ranks(2, work) == [alone, alone]


def test_only_a_classification_has_them(make_tiny_plan: PlanMaker) -> None:
    with pytest.raises(SettingsError, match="is a figure of classify"):
        make_tiny_plan("train.task=mlm", "train.robustness=true")
