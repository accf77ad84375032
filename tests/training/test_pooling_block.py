"""A block behind the encoder: it starts as the mean of a text's tokens, is learned, and stays stock transformers'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModelForSequenceClassification

from mapring import contract
from mapring.errors import SettingsError
from tests.training.bert_like import classifier, loss_of, padded
from tests.training.conftest import PlanMaker
from tests.training.running import prepare, resumed_as_straight
from training import train as trainer
from training.first_token import choose_first_token
from training.pooling_block import MEAN_WEIGHT, add_pooling_block


def encoder(model: Any) -> Any:
    return model.base_model.encoder


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra"])
def test_it_starts_as_the_mean_of_the_tokens_that_are_there(architecture: str) -> None:
    model: Any = classifier(architecture).eval()
    inputs = padded()
    with torch.no_grad():
        before = model.base_model(**inputs)[0]  # (B, T, H)
        length = encoder(model).layer[-1].output.LayerNorm.weight.mean()
        add_pooling_block(model)
        behind = model.base_model(**inputs)[0][:, 0]
    mask = inputs["attention_mask"][:, :, None]
    mean = (before * mask).sum(1) / mask.sum(1)
    wanted = functional.layer_norm(MEAN_WEIGHT * mean + before[:, 0], (32,)) * length
    torch.testing.assert_close(behind, wanted, atol=1e-4, rtol=1e-4)


def test_padding_changes_nothing() -> None:
    model: Any = classifier("bert").eval()
    add_pooling_block(model)
    inputs = padded()
    with torch.no_grad():
        together = model(**inputs).logits
        alone = [
            model(input_ids=inputs["input_ids"][row : row + 1, :length]).logits for row, length in ((1, 7), (3, 1))
        ]
    torch.testing.assert_close(torch.cat(alone), together[[1, 3]], atol=1e-5, rtol=1e-5)


def test_it_learns_which_tokens_to_look_at() -> None:
    model: Any = classifier("bert")
    add_pooling_block(model)
    own = encoder(model).layer[-1].attention.self
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.0)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(model, padded()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert own.key.weight.abs().max() > 0.01 and own.query.weight.grad.abs().max() > 0


def test_stock_transformers_loads_it_and_it_is_not_put_in_twice(tmp_path: Path) -> None:
    model: Any = classifier("bert").eval()
    add_pooling_block(model)
    model.save_pretrained(tmp_path)
    stock, found = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, local_files_only=True, output_loading_info=True
    )
    assert not any(found.values())
    add_pooling_block(stock)
    assert stock.config.num_hidden_layers == len(encoder(stock).layer) == 3
    with torch.no_grad():
        torch.testing.assert_close(stock.eval()(**padded()).logits, model(**padded()).logits)


def test_other_blocks_than_bert_s_are_refused() -> None:
    model: nn.Module = classifier("gpt2", n_embd=32, n_layer=2, n_head=2)
    with pytest.raises(SettingsError, match=r"train\.pooling_block: found gpt2.*expected a model such as BERT"):
        add_pooling_block(model)


def test_a_training_with_it_publishes_a_model_that_all_backends_check(make_tiny_plan: PlanMaker) -> None:
    plan = make_tiny_plan("train.pooling_block=true", "train.epochs=6")
    blocks = len(encoder(prepare(make_tiny_plan())[0].model).layer)
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 0
    details = contract.read_manifest(plan.model_directory).details
    stock = AutoModelForSequenceClassification.from_pretrained(
        Path(plan.model_directory, details["transformers"]), local_files_only=True
    )
    assert stock.config.num_hidden_layers == len(encoder(stock).layer) == blocks + 1


def test_it_resumes_to_the_bit(make_tiny_plan: PlanMaker) -> None:
    training, _ = resumed_as_straight(make_tiny_plan, "train.pooling_block=true")
    assert encoder(training.model).layer[-1].attention.self.key.weight.abs().max() > 0


def test_it_is_computed_for_the_first_token_only() -> None:
    model: Any = classifier("bert")
    add_pooling_block(model)
    choose_first_token(model, padded())
    seen: list[int] = []
    for block in encoder(model).layer:
        block.intermediate.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape[1]))
    model(**padded())
    assert seen == [12, 12, 1]
