"""The supervised contrastive loss against equation 2 of the paper written out, in a whole step, and over ranks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mapring.errors import SettingsError
from mapring.settings import output_settings
from mapring.settings.objective import Objective
from tests.training.conftest import PlanMaker
from tests.training.objectives.test_classification import INPUTS, gradients
from tests.training.objectives.two_ranks import two_ranks_as_one, uneven_documents
from tests.training.running import fit, prepare, resumed_as_straight, weights
from training.exact_sums import NO_EPOCH
from training.objectives import ClassificationObjective
from training.objectives.contrast import Views, contrast_of_rows
from training.padding import whole_groups
from training.rows import NO_LABEL

LABELS = torch.tensor([0, 1, NO_LABEL, 1])
CONTRAST = "contrast: 0.5, contrast_temperature: 0.2"


def by_the_book(views: Views, labels: list[int], groups: list[int], temperature: float) -> list[torch.Tensor]:
    """Of each row the mean over its two vectors of Khosla et al.'s L_out, every sum written out."""
    rows = len(labels)
    vectors = [vector / vector.norm() for vector in (*views.read, *views.mean)]
    losses = []
    for row in range(rows):
        of_views = []
        for anchor in (row, row + rows):
            others = [
                other
                for other in range(2 * rows)
                if other != anchor and groups[other % rows] == groups[row] and labels[other % rows] != NO_LABEL
            ]
            same = [other for other in others if labels[other % rows] == labels[row]]
            if labels[row] == NO_LABEL:
                of_views.append(torch.tensor(0.0))
                continue
            total = sum(math.e ** (vectors[anchor] @ vectors[other] / temperature) for other in others)
            logs = [vectors[anchor] @ vectors[other] / temperature - torch.log(total) for other in same]
            of_views.append(-sum(logs) / len(same))
        losses.append(sum(of_views) / 2)
    return losses


def test_rows_have_the_losses_of_the_paper_within_their_groups() -> None:
    torch.manual_seed(3)
    views = Views(torch.randn(9, 5), torch.randn(9, 5))
    labels, groups = [0, 1, 0, NO_LABEL, 2, 1, 0, 0, 1], [0, 0, 0, 0, 0, 1, 1, 1, 2]
    found = contrast_of_rows(views, torch.tensor(labels), torch.tensor(groups), 0.3)
    expected = by_the_book(views, labels, groups, 0.3)
    torch.testing.assert_close(found, torch.stack(expected))
    assert found[3] == 0 and found[8] == 0  # one has no label, the other nothing but itself
    assert (found[[0, 1, 2, 4, 5, 6, 7]] > 0).all()


def test_a_step_has_the_gradients_of_cross_entropy_and_contrast(base_model: Path) -> None:
    from transformers import BertForSequenceClassification

    torch.manual_seed(5)
    model = BertForSequenceClassification.from_pretrained(base_model, num_labels=2).train()

    def reference() -> torch.Tensor:
        output = model.bert(**INPUTS)
        read = model.dropout(output.pooler_output)
        logits = model.classifier(read)
        mask = INPUTS["attention_mask"][:, :, None].float()
        mean = (output.last_hidden_state * mask).sum(1) / mask.sum(1)
        rows = by_the_book(Views(read, mean), LABELS.tolist(), [0, 0, 0, 0], 0.2)
        weighed = [weight * row for weight, row in zip((0.5, 2.0, 0.0, 2.0), rows, strict=True)]
        cross = functional.cross_entropy(
            logits, LABELS, weight=torch.tensor([0.5, 2.0]), ignore_index=NO_LABEL, reduction="sum"
        )
        return cross + 0.7 * sum(weighed)

    objective = ClassificationObjective(Objective(contrast=0.7, contrast_temperature=0.2), (0.5, 2.0), classes=2)
    found = gradients(model, lambda: objective(model, INPUTS, LABELS)[0])
    for name, tensor in gradients(model, reference).items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    assert objective(model, INPUTS, LABELS)[1] == 4.5


def test_groups_stay_whole_in_pieces_and_rows_come_once() -> None:
    lengths, groups = [3, 5, 2, 9, 4, 1, 7], [2, 3, 0, 1, 1]
    rows = [np.full(length, number, np.int32) for number, length in enumerate(lengths)]
    pieces = list(whole_groups(rows, groups, 0, 20))
    assert [sorted(piece.rows.tolist()) for piece in pieces] == [[0, 1], [2, 3, 4], [5, 6]]
    for piece in pieces:
        for row, ids, mask in zip(piece.rows.tolist(), piece.input_ids, piece.attention_mask, strict=True):
            assert ids[: lengths[row]].tolist() == [row] * lengths[row] and int(mask.sum()) == lengths[row]
    assert [sorted(piece.rows.tolist()) for piece in whole_groups(rows, groups, 0, 1000)] == [list(range(7))]
    assert list(whole_groups([], [0, 0], 0, 20)) == []


def test_evaluations_know_no_groups(make_tiny_plan: PlanMaker) -> None:
    training, _ = prepare(make_tiny_plan(f"train.objective={{{CONTRAST}}}"))
    batch = next(training.reader.epoch(0))
    trained, evaluated = (list(training.task.pieces(batch, training.model, epoch, 40)) for epoch in (0, NO_EPOCH))
    assert len(trained) < len(evaluated)
    assert all("groups" in piece.targets for piece in trained)
    assert not any("groups" in piece.targets for piece in evaluated)
    lanes = [sorted(piece.rows[piece.targets["groups"].numpy() == lane]) for piece in trained for lane in range(99)]
    assert [len(rows) for rows in lanes if len(rows)] == [count for count in batch.lane_rows if count]


def test_two_ranks_take_the_steps_of_one(
    make_tiny_plan: PlanMaker, tmp_path: Path, base_model_without_dropout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (f"train.model={base_model_without_dropout}", "train.learning_rate=1e-3")
    objective = f"train.objective={{class_weights: balanced, r_drop: 0.5, {CONTRAST}}}"
    alone, _ = two_ranks_as_one(make_tiny_plan, tmp_path, monkeypatch, *words, objective)
    plain, _ = fit(make_tiny_plan(*words, f"run_dir={tmp_path}/plain", documents=uneven_documents()))
    moved = [float((weights(plain)[name] - tensor).abs().max()) for name, tensor in weights(alone).items()]
    assert max(moved) > 3e-3  # the terms do something


@pytest.mark.parametrize("method", ["lora", "prefix", "adapter"])
def test_with_other_methods_it_resumes_bit_for_bit(make_tiny_plan: PlanMaker, method: str) -> None:
    resumed_as_straight(make_tiny_plan, f"train.objective={{fgm: 0.3, {CONTRAST}}}", f"train.method={method}")


def test_a_decoder_whose_output_layer_reads_all_tokens_is_refused(make_tiny_plan: PlanMaker) -> None:
    model = "train.model={architecture: gpt2, config: {n_embd: 16, n_layer: 1, n_head: 2}}"
    with pytest.raises(SettingsError, match="contrast: found an output layer that reads"):
        fit(make_tiny_plan(f"train.objective={{{CONTRAST}}}", model))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train.objective={contrast: 1, mixup: 0.2}"], "contrast: found it with mixup"),
        (["train.objective={contrast_temperature: 0.2}"], "contrast_temperature: found it without contrast"),
        (["train.objective={contrast: 1}", "train.compile=true"], "compile: found true with objective.contrast"),
        (["train.objective={contrast: 1}", "train.task=mlm"], "objective.contrast: found it with task=mlm"),
        (
            ["train.objective={contrast: 1}", "train.model={architecture: lstm}"],
            "objective.contrast: found it with lst",
        ),
        (
            ["train.objective={contrast: 1}", "train.distillation.teacher=nowhere"],
            "distillation.teacher: found it with objective.contrast",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(make_tiny_plan: PlanMaker, words: list[str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        make_tiny_plan("score=null", *words, shards=False)


def test_without_it_models_keep_their_fingerprints(make_tiny_plan: PlanMaker) -> None:
    plan, other = make_tiny_plan(shards=False), make_tiny_plan("train.objective={contrast: 1}", shards=False)
    assert plan.model != other.model
    assert not [name for name in output_settings(plan.settings.train.objective) if name.startswith("contrast")]


def test_the_output_layer_is_found_among_layers_as_wide(base_model: Path) -> None:
    """With as many classes as hidden units every layer is as wide as the output layer, which is the last one."""
    from transformers import BertForSequenceClassification

    hidden = int(BertForSequenceClassification.from_pretrained(base_model).config.hidden_size)
    model: nn.Module = BertForSequenceClassification.from_pretrained(base_model, num_labels=hidden)
    loss, _ = ClassificationObjective(Objective(contrast=1.0), classes=hidden)(model.eval(), INPUTS, LABELS)
    plain, _ = ClassificationObjective()(model, INPUTS, LABELS)
    output = model.bert(**INPUTS)  # type: ignore[operator]
    mask = INPUTS["attention_mask"][:, :, None].float()
    views = Views(output.pooler_output, (output.last_hidden_state * mask).sum(1) / mask.sum(1))
    expected = contrast_of_rows(views, LABELS, torch.zeros_like(LABELS), 0.1).sum()
    assert float((loss - plain).detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
