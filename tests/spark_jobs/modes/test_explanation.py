"""Explanations: the word that decides has the largest weight, with its sign, and weights are those of plain erasure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mapring.settings.answers import Answers
from mapring.text import Encoder
from spark_jobs.modes.explanation import is_chosen
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import Predictor
from tests.tiny_modes import MAX_LENGTH, PAIRS, TEXTS, publish_made, stock_inputs

EVERY = Answers(explain_share=1)


def publish_decided_by(directory: Path, task: str, word: str, *, effect: float, bias: float) -> None:
    """A BERT whose second output, or its only one, is `bias`, and `effect` more of texts that hold the word."""
    model: Any = publish_made(directory.parent / "made", task)
    own = Encoder(directory.parent / "made" / "transformers-0", MAX_LENGTH).encode([word])[0][1]
    direction, identity = torch.tensor([1.0, -1.0] * 16), torch.eye(32)  # which a layer norm leaves as it is
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name.endswith("LayerNorm.weight") else 0.0)
        model.bert.embeddings.word_embeddings.weight[own] = direction
        for layer in model.bert.encoder.layer:  # no keys: every token sees the mean of all
            layer.attention.self.value.weight.copy_(identity)
            layer.attention.output.dense.weight.copy_(identity)
        model.bert.pooler.dense.weight.copy_(identity)
        output = 0 if task == "regression" else 1
        model.classifier.weight[output] = direction * effect / float(torch.tanh(torch.tensor(1.0))) / 32
        model.classifier.bias[output] = bias
    publish_made(directory, task, model=model)


@pytest.mark.parametrize("task", ["classify", "multilabel", "regression"])
@pytest.mark.parametrize(("effect", "bias"), [(4.0, 1.0), (-4.0, 6.0)])
def test_the_word_that_decides_has_all_the_weight_with_its_sign(
    tmp_path: Path, task: str, effect: float, bias: float
) -> None:
    """Weights add up to what the answer is more than that of a text without the word."""
    publish_decided_by(tmp_path / "m", task, "lovely", effect=effect, bias=bias)
    found, _ = predict_columns(Predictor(str(tmp_path / "m")), ["the film was lovely and so long"], EVERY)
    (explained,) = found["explanation"]
    weights = {entry["token"]: entry["weight"] for entry in explained}
    assert weights.pop("lovely") == pytest.approx(effect, abs=1e-4)
    assert weights and all(abs(weight) < 1e-4 for weight in weights.values())
    if task == "classify":
        assert found["label"] == ["good"]


@pytest.mark.parametrize("task", ["classify", "multilabel", "regression"])
@pytest.mark.parametrize("is_pair", [False, True])
def test_weights_are_what_leaving_a_token_out_loses(tmp_path: Path, task: str, is_pair: bool) -> None:
    directory = tmp_path / "m"
    model: Any = publish_made(directory, task, is_pair=is_pair, temperature=2.0)
    texts = (PAIRS if is_pair else TEXTS)[:6]
    found, _ = predict_columns(Predictor(str(directory), batch_tokens=64), texts, EVERY)
    encoder = Encoder(directory / "transformers-0", MAX_LENGTH)

    def support(given: dict[str, torch.Tensor], answer: int | None) -> tuple[float, int]:
        with torch.inference_mode():
            logits = model(**given).logits[0].double()
        answer = int(logits.argmax()) if answer is None else answer
        if task == "classify":
            share = (logits / 2.0).softmax(0)[answer]
            return float(torch.log(share / (1 - share))), answer
        return float(logits[answer]), answer

    for text, explained in zip(texts, found["explanation"], strict=True):
        given = stock_inputs(encoder, text, is_pair)
        whole, answer = support(given, None)
        ids = given["input_ids"][0].tolist()
        inside = [place for place, token in enumerate(ids) if token not in encoder.special_ids]
        assert [entry["token"] for entry in explained] == [encoder.token(ids[place]) for place in inside]
        for place, entry in zip(inside, explained, strict=True):
            left = {name: torch.cat([row[:, :place], row[:, place + 1 :]], 1) for name, row in given.items()}
            assert entry["weight"] == pytest.approx(whole - support(left, answer)[0], abs=1e-4)


def test_rows_are_chosen_by_their_keys_alone(tmp_path: Path) -> None:
    keys = [f"{number:032x}" for number in range(4000)]
    chosen = [is_chosen(key, 0.25) for key in keys]
    assert 0.22 < np.mean(chosen) < 0.28
    assert all(is_chosen(key, 0.5) for key, was in zip(keys, chosen, strict=True) if was), "a larger share adds rows"
    assert not any(is_chosen(key, 0) for key in keys) and all(is_chosen(key, 1) for key in keys)
    publish_made(tmp_path / "m", "classify")
    predictor, own = Predictor(str(tmp_path / "m")), keys[: len(TEXTS)]
    found, _ = predict_columns(predictor, TEXTS, Answers(explain_share=0.25), own)
    assert [value is not None for value in found["explanation"]] == chosen[: len(TEXTS)]
    turned, _ = predict_columns(predictor, TEXTS[::-1], Answers(explain_share=0.25), own[::-1])
    assert [value is not None for value in turned["explanation"][::-1]] == chosen[: len(TEXTS)]
