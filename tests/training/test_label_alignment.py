"""The rows of a trained head follow the names of their labels, and a trained number keeps its unit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from mapring.errors import SettingsError
from tests.training.conftest import PlanMaker
from training import preparation
from training.label_alignment import align_head, named_labels
from training.model import BuiltModel
from training.targets import TargetScale
from training.tasks import open_task
from training.tasks.raw_scale import fold_raw_scale, keep_trained_numbers, use_raw_scale


@pytest.fixture
def classifier(tmp_path: Path, base_model: Path) -> tuple[Path, torch.Tensor]:
    """A trained classifier's directory with the labels bad and good, and the weights of its head, (2, H)."""
    config = BertConfig.from_pretrained(base_model, id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1})
    model = BertForSequenceClassification(config)
    model.save_pretrained(tmp_path / "classifier")
    return tmp_path / "classifier", model.classifier.weight.detach().clone()


def built(plan_maker: PlanMaker, directory: Path, labels: list[str]) -> BuiltModel:
    plan = plan_maker(f"train.model={directory}", f"run_dir={directory}-{'-'.join(labels)}", labels=labels)
    return preparation.build_trainable(plan, open_task(plan), 1)


def test_rows_go_where_their_labels_are(make_tiny_plan: PlanMaker, classifier: tuple[Path, torch.Tensor]) -> None:
    directory, rows = classifier
    same, head = built(make_tiny_plan, directory, ["bad", "good"])
    assert torch.equal(same.classifier.weight, rows) and head == ("classifier",)
    swapped, head = built(make_tiny_plan, directory, ["good", "bad"])
    assert torch.equal(swapped.classifier.weight, rows.flip(0)) and head == ("classifier",)
    assert swapped.config.id2label == {0: "good", 1: "bad"} and swapped.num_labels == 2
    more, _ = built(make_tiny_plan, directory, ["good", "odd", "bad"])
    assert torch.equal(more.classifier.weight[[2, 0]], rows)
    assert more.config.num_labels == more.num_labels == more.classifier.out_features == 3
    again, _ = built(make_tiny_plan, directory, ["good", "odd", "bad"])
    assert torch.equal(again.classifier.weight, more.classifier.weight)  # new rows are seeded
    assert 0 < float(more.classifier.weight[1].detach().std()) < 0.1
    assert more.classifier.bias[1].item() == 0


def test_labels_without_names_keep_their_places(make_tiny_plan: PlanMaker, tmp_path: Path, base_model: Path) -> None:
    model = BertForSequenceClassification(BertConfig.from_pretrained(base_model, num_labels=2))
    model.save_pretrained(tmp_path / "unnamed")
    assert named_labels(model.config) is None
    found, _ = built(make_tiny_plan, tmp_path / "unnamed", ["good", "bad"])
    assert torch.equal(found.classifier.weight, model.classifier.weight)


def test_a_model_without_such_a_layer_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"no linear layer with 3 outputs.*remove id2label"):
        align_head(nn.Sequential(nn.Linear(4, 2)), ["a", "b", "c"], ["a", "b"])


@pytest.mark.parametrize("bias", [True, False])
def test_a_trained_number_is_what_it_was_when_the_training_goes_on(bias: bool) -> None:
    torch.manual_seed(1)
    model, inputs = nn.Sequential(nn.Linear(4, 1, bias=bias)), torch.randn(8, 4)
    before = model(inputs).detach()
    for fresh, is_kept in (((), True), (("0",), False)):
        use_raw_scale(model, TargetScale(mean=100.0, deviation=7.0, rows=10))
        keep_trained_numbers(model, fresh)
        assert torch.allclose(model(inputs), before, atol=1e-4) == is_kept
        fold_raw_scale(model)
        assert torch.allclose(model(inputs), before, atol=1e-4) == is_kept
