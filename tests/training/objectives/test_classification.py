"""Losses of classification against references by the book, and what they need of models and ranks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from mapring.errors import SettingsError
from mapring.settings.objective import Objective
from tests.training.conftest import PlanMaker
from tests.training.objectives.two_ranks import two_ranks_as_one
from tests.training.running import fit, prepare, resumed_as_straight
from training.objectives import ClassificationObjective, balanced_weights
from training.objectives.embeddings import Mixture
from training.rows import NO_LABEL

ALL = "train.objective={label_smoothing: 0.1, class_weights: balanced, r_drop: 0.5, fgm: 0.3, mixup: 0.4}"
CLASS_WEIGHTS = (0.5, 2.0)
LABELS = torch.tensor([0, 1, NO_LABEL, 1])
INPUTS = {
    "input_ids": torch.tensor([[2, 6, 7, 8, 3], [2, 9, 10, 3, 0], [2, 11, 12, 3, 0], [2, 13, 3, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]]),
}


@pytest.fixture
def model(base_model: Path) -> nn.Module:
    from transformers import BertForSequenceClassification

    torch.manual_seed(5)
    found: nn.Module = BertForSequenceClassification.from_pretrained(base_model, num_labels=2)
    return found.train()


def gradients(model: nn.Module, make_loss: Callable[[], torch.Tensor]) -> dict[str, torch.Tensor]:
    """Gradients of all parameters, with dropout by one seed."""
    model.zero_grad()
    torch.manual_seed(11)
    make_loss().backward()  # type: ignore[no-untyped-call]
    return {name: item.grad.clone() for name, item in model.named_parameters() if item.grad is not None}


def check_same_gradients(
    model: nn.Module, settings: Objective, reference: Callable[[], torch.Tensor], weight: float, *, weighed: bool = True
) -> None:
    objective = ClassificationObjective(settings, CLASS_WEIGHTS if weighed else None)
    found = gradients(model, lambda: objective(model, INPUTS, LABELS)[0])
    expected = gradients(model, reference)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    torch.manual_seed(11)
    assert objective(model, INPUTS, LABELS)[1] == pytest.approx(weight)


def rows_cross_entropy(logits: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Weighed cross entropy with smoothed labels of the labelled rows, each written out; as torch defines it."""
    losses = []
    for row, label in zip(logits.log_softmax(-1), LABELS.tolist(), strict=True):
        if label != NO_LABEL:
            own = -CLASS_WEIGHTS[label] * row[label]
            spread = -sum(CLASS_WEIGHTS[number] * row[number] for number in (0, 1)) / 2
            losses.append((1 - smoothing) * own + smoothing * spread)
    return torch.stack(losses).sum()


def test_the_default_is_the_plain_cross_entropy_to_the_bit(model: nn.Module) -> None:
    def plain() -> torch.Tensor:
        return functional.cross_entropy(model(**INPUTS).logits, LABELS, reduction="sum")

    objective = ClassificationObjective()
    found = gradients(model, lambda: objective(model, INPUTS, LABELS)[0])
    assert all(torch.equal(found[name], tensor) for name, tensor in gradients(model, plain).items())
    assert objective(model, INPUTS, LABELS)[1] == 3.0


def test_smoothing_and_class_weights(model: nn.Module) -> None:
    settings = Objective(label_smoothing=0.2)
    check_same_gradients(model, settings, lambda: rows_cross_entropy(model(**INPUTS).logits, 0.2), 0.5 + 2 + 2)
    logits = torch.randn(4, 2)
    mean = functional.cross_entropy(logits, LABELS, weight=torch.tensor(CLASS_WEIGHTS), label_smoothing=0.2)
    assert float(rows_cross_entropy(logits, 0.2) / 4.5) == pytest.approx(float(mean), rel=1e-5)


def test_r_drop(model: nn.Module) -> None:
    def reference() -> torch.Tensor:
        first, second = model(**INPUTS).logits, model(**INPUTS).logits
        assert not torch.equal(first, second)  # dropout differs
        whole = (rows_cross_entropy(first) + rows_cross_entropy(second)) / 2
        one, other = first.log_softmax(-1), second.log_softmax(-1)
        there = functional.kl_div(other, one, log_target=True, reduction="none").sum(-1)
        back = functional.kl_div(one, other, log_target=True, reduction="none").sum(-1)
        return whole + 3.0 * (torch.tensor([0.5, 2.0, 0.0, 2.0]) * (there + back) / 2).sum()

    check_same_gradients(model, Objective(r_drop=3.0), reference, 4.5)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_fgm(model: nn.Module, is_frozen: bool) -> None:
    table = model.get_input_embeddings()  # type: ignore[operator]
    table.requires_grad_(not is_frozen)

    def reference() -> torch.Tensor:
        mask = INPUTS["attention_mask"]
        embedded = table(INPUTS["input_ids"]).detach().requires_grad_()
        state = torch.get_rng_state()
        clean = rows_cross_entropy(model(inputs_embeds=embedded, attention_mask=mask).logits)
        (gradient,) = torch.autograd.grad(clean, embedded)
        shift = torch.zeros_like(gradient)
        for row in (0, 1, 3):
            shift[row] = 0.7 * gradient[row] / gradient[row].norm()
        assert not gradient[2].any()  # has no label
        torch.set_rng_state(state)
        again = rows_cross_entropy(model(inputs_embeds=table(INPUTS["input_ids"]), attention_mask=mask).logits)
        moved = model(inputs_embeds=table(INPUTS["input_ids"]) + shift, attention_mask=mask).logits
        return (again + rows_cross_entropy(moved)) / 2

    check_same_gradients(model, Objective(fgm=0.7), reference, 4.5)


def test_an_adversarial_change_raises_the_loss(base_model_without_dropout: Path) -> None:
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(base_model_without_dropout, num_labels=2)
    plain, _ = ClassificationObjective()(model, INPUTS, LABELS)
    moved, _ = ClassificationObjective(Objective(fgm=1.0))(model, INPUTS, LABELS)
    assert float(moved.detach()) > float(plain.detach())


def test_mixup(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    partner, share = torch.tensor([2, 0, 1, 3]), torch.tensor([0.25, 0.5, 0.75, 1.0])
    monkeypatch.setattr("training.objectives.classification.draw_mixture", lambda *_: Mixture(partner, share))

    def reference() -> torch.Tensor:
        mask = INPUTS["attention_mask"]
        embedded = model.get_input_embeddings()(INPUTS["input_ids"]) * mask[:, :, None]  # type: ignore[operator]
        rows = [share[row] * embedded[row] + (1 - share[row]) * embedded[partner[row]] for row in range(4)]
        either = torch.stack([mask[row] | mask[partner[row]] for row in range(4)])
        logs = model(inputs_embeds=torch.stack(rows), attention_mask=either).logits.log_softmax(-1)
        parts = []
        for row in range(4):
            for label, part in ((LABELS[row], share[row]), (LABELS[partner[row]], 1 - share[row])):
                if label != NO_LABEL:
                    parts.append(-part * logs[row, label])
        return torch.stack(parts).sum()

    check_same_gradients(model, Objective(mixup=0.4), reference, 0.25 + 1 + 0.25 + 1, weighed=False)


def test_mixtures_follow_from_torch_s_seed(model: nn.Module) -> None:
    objective = ClassificationObjective(Objective(mixup=0.4))
    first, again = (gradients(model, lambda: objective(model, INPUTS, LABELS)[0]) for _ in range(2))
    assert all(torch.equal(first[name], tensor) for name, tensor in again.items())


def test_balanced_weights_let_classes_count_alike() -> None:
    found = balanced_weights([30, 10, 0])
    assert found == (40 / 90, 40 / 30, 0.0)
    assert 30 * found[0] == pytest.approx(10 * found[1])


@pytest.mark.parametrize("method", ["full", "lora", "prefix", "adapter"])
def test_everything_on_resumes_bit_for_bit(make_tiny_plan: PlanMaker, method: str) -> None:
    words = (
        ALL,
        f"train.method={method}",
        "train.augmentation={drop_words: 0.1, swap_words: 0.2, crop: 0.1}",
        "train.freeze_embeddings=true",
        "train.gradient_checkpointing=" + ("false" if method == "prefix" else "true"),
    )
    resumed_as_straight(make_tiny_plan, *words)


def test_two_ranks_take_the_steps_of_one(
    make_tiny_plan: PlanMaker, tmp_path: Path, base_model_without_dropout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mixup pairs rows of one rank, so it is left out here."""
    alone, ranks = two_ranks_as_one(
        make_tiny_plan,
        tmp_path,
        monkeypatch,
        f"train.model={base_model_without_dropout}",
        "train.learning_rate=1e-3",
        "train.objective={label_smoothing: 0.1, class_weights: balanced, r_drop: 0.5, fgm: 0.3}",
        "train.augmentation={drop_words: 0.1, swap_words: 0.2, crop: 0.1}",
    )
    counted, *others = (training.task.objective.class_weights for training in (alone, *ranks))  # type: ignore[attr-defined]
    assert counted[0] > 1 > counted[1] > 0 and others == [counted, counted]


def test_decoders_can_be_regularized(make_tiny_plan: PlanMaker, base_model: Path) -> None:
    model = "train.model={architecture: gpt2, config: {n_embd: 16, n_layer: 1, n_head: 2}}"
    training, cursor = fit(make_tiny_plan(ALL, model))
    assert cursor.step == training.total_steps


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train.task=mlm", "train.objective={r_drop: 1}"], "objective.r_drop: found it with task=mlm"),
        (["train.task=clm", "train.augmentation={crop: 0.1}"], "augmentation.crop: found it with task=clm"),
        (["train.momentum=0.5"], "momentum: found it with optimizer=adamw, expected sgd"),
        (["train.patience_steps=5"], "patience_steps: found it without patience"),
        (["train.objective={label_smoothing: 1}"], "label_smoothing"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(make_tiny_plan: PlanMaker, words: list[str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        make_tiny_plan("score=null", *words, shards=False)


def test_a_model_without_a_table_of_embeddings_is_refused(make_tiny_plan: PlanMaker) -> None:
    training, _ = prepare(make_tiny_plan())
    objective = ClassificationObjective(Objective(fgm=1.0))
    with pytest.raises(SettingsError, match="without a table of token embeddings"):
        objective(nn.Linear(2, 2), INPUTS, LABELS)
    assert training.task.objective == ClassificationObjective()  # type: ignore[attr-defined]
