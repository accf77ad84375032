"""Every mode gives what plain transformers gives for each text alone, whatever shares its batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mapring.contract.schemas import answer_schema
from mapring.errors import PublishedError, SettingsError
from mapring.settings.answers import Answers, Generation
from mapring.text import Encoder
from spark_jobs.prediction import MODEL_FAILED, predict_columns
from spark_jobs.predictor import Predictor
from tests.tiny_modes import LABELS, MAX_LENGTH, PAIRS, TEXTS, publish_made, stock_inputs

ALL = Answers(probabilities=True, top_k=2)


def stock_answers(
    model: Any, directory: Path, texts: list[str], is_pair: bool, answer: Callable[..., Any]
) -> list[Any]:
    encoder = Encoder(directory / "transformers-0", MAX_LENGTH)
    with torch.inference_mode():
        return [answer(model(**given), given) for given in (stock_inputs(encoder, text, is_pair) for text in texts)]


def both_ways(directory: Path, texts: list[str], answers: Answers) -> dict[str, list[Any]]:
    """Columns of large batches in the given order; those of small ones in another order are the same."""
    large, _ = predict_columns(Predictor(str(directory), batch_tokens=4096), texts, answers)
    order = np.random.default_rng(3).permutation(len(texts)).tolist()
    small, _ = predict_columns(Predictor(str(directory), batch_tokens=16), [texts[place] for place in order], answers)
    for name, values in large.items():
        for place, value in zip(order, small[name], strict=True):
            assert_same(value, values[place], name)
    return large


def assert_same(left: Any, right: Any, name: str) -> None:
    if isinstance(left, float | np.ndarray):
        np.testing.assert_allclose(left, right, atol=1e-5, rtol=1e-5, err_msg=name)
    elif isinstance(left, list):
        assert len(left) == len(right), name
        for one, other in zip(left, right, strict=True):
            assert_same(one, other, name)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key], f"{name}.{key}")
    else:
        assert left == right, name


@pytest.mark.parametrize("is_pair", [False, True])
@pytest.mark.parametrize("temperature", [None, 2.5])
def test_one_label_is_stock_softmax_at_the_temperature(
    tmp_path: Path, is_pair: bool, temperature: float | None
) -> None:
    directory, texts = tmp_path / "m", PAIRS if is_pair else TEXTS
    model = publish_made(directory, "classify", is_pair=is_pair, temperature=temperature)
    expected = stock_answers(
        model, directory, texts, is_pair, lambda out, _: (out.logits[0] / (temperature or 1)).softmax(0).numpy()
    )
    found = both_ways(directory, texts, ALL)
    np.testing.assert_allclose(found["probabilities"], np.array(expected), atol=1e-5)
    assert found["label"] == [LABELS[int(row.argmax())] for row in expected]
    np.testing.assert_allclose(found["score"], [row.max() for row in expected], atol=1e-5)
    for top, row in zip(found["top"], expected, strict=True):
        assert [entry["label"] for entry in top] == [LABELS[label] for label in np.argsort(-row)[:2]]
        np.testing.assert_allclose([entry["score"] for entry in top], np.sort(row)[::-1][:2], atol=1e-5)
    assert found["abstained"] == [False] * len(texts) and found["error"] == [None] * len(texts)


def test_the_token_types_of_pairs_count(tmp_path: Path) -> None:
    directory = tmp_path / "m"
    model = publish_made(directory, "classify", is_pair=True)
    found, _ = predict_columns(Predictor(str(directory)), PAIRS, ALL)
    without = stock_answers(
        model,
        directory,
        PAIRS,
        True,
        lambda _, given: model(input_ids=given["input_ids"]).logits[0].softmax(0).numpy(),
    )
    assert np.abs(np.array(found["probabilities"]) - np.array(without)).max() > 0.01


def test_a_label_below_the_share_is_withheld_and_its_score_stays(tmp_path: Path) -> None:
    directory = tmp_path / "m"
    publish_made(directory, "classify", temperature=3.0)
    predictor = Predictor(str(directory))
    plain, _ = predict_columns(predictor, TEXTS, Answers())
    assert plain["probabilities"] == plain["top"] == plain["explanation"] == [None] * len(TEXTS), "not asked for"
    share = float(np.median(plain["score"]))
    found, _ = predict_columns(predictor, TEXTS, Answers(abstain_below=share))
    assert found["score"] == plain["score"] and found["error"] == plain["error"]
    assert found["abstained"] == [score < share for score in plain["score"]]
    assert 0 < sum(found["abstained"]) < len(TEXTS)
    for withheld, label, before in zip(found["abstained"], found["label"], plain["label"], strict=True):
        assert label == (None if withheld else before)


@pytest.mark.parametrize("is_pair", [False, True])
def test_several_labels_are_stock_sigmoids(tmp_path: Path, is_pair: bool) -> None:
    directory, texts = tmp_path / "m", PAIRS if is_pair else TEXTS
    model = publish_made(directory, "multilabel", is_pair=is_pair, temperature=9.0)  # which several labels have not
    expected = stock_answers(model, directory, texts, is_pair, lambda out, _: out.logits[0].sigmoid().numpy())
    found = both_ways(directory, texts, ALL)
    np.testing.assert_allclose(found["probabilities"], np.array(expected), atol=1e-5)
    for labels, row in zip(found["labels"], expected, strict=True):
        order = [label for label in np.argsort(-row, kind="stable") if row[label] > 0.5]
        assert [entry["label"] for entry in labels] == [LABELS[label] for label in order]
        np.testing.assert_allclose([entry["score"] for entry in labels], row[order], atol=1e-5)
    assert len({len(labels) for labels in found["labels"]}) > 2, "none, one and several"


@pytest.mark.parametrize("is_pair", [False, True])
def test_a_number_is_in_the_unit_of_the_targets(tmp_path: Path, is_pair: bool) -> None:
    directory, texts = tmp_path / "m", PAIRS if is_pair else TEXTS
    publish_made(tmp_path / "other", "regression")  # seeds alike
    model: Any = publish_made(directory, "regression", is_pair=is_pair)
    expected = stock_answers(model, directory, texts, is_pair, lambda out, _: float(out.logits[0, 0]))
    np.testing.assert_allclose(both_ways(directory, texts, Answers())["value"], expected, atol=1e-5, rtol=1e-5)


def test_vectors_are_means_of_hidden_states_of_length_1(tmp_path: Path) -> None:
    directory = tmp_path / "m"
    model = publish_made(directory, "embed")
    expected = stock_answers(
        model,
        directory,
        TEXTS,
        False,
        lambda out, _: functional.normalize(out.last_hidden_state[0].mean(0), dim=0).numpy(),
    )
    found = np.array(both_ways(directory, TEXTS, Answers())["embedding"])
    np.testing.assert_allclose(found, np.array(expected), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_perplexity_is_that_of_stock_losses(tmp_path: Path, architecture: str) -> None:
    directory = tmp_path / "m"
    model: Any = publish_made(directory, "clm", architecture=architecture)
    expected = stock_answers(
        model,
        directory,
        TEXTS,
        False,
        lambda _, given: (
            float(model(**given, labels=given["input_ids"]).loss.exp()),
            given["input_ids"].shape[1] - 1,
        ),
    )
    found = both_ways(directory, TEXTS, Answers())
    np.testing.assert_allclose(found["perplexity"], [value for value, _ in expected], rtol=1e-4)
    assert found["tokens"] == [tokens for _, tokens in expected]
    assert max(found["tokens"]) == MAX_LENGTH - 1, "a long text is cut as in training"


@pytest.mark.parametrize("task", ["classify", "multilabel", "regression", "embed", "clm"])
def test_rows_without_text_and_rows_that_fail_say_so_and_spare_the_others(tmp_path: Path, task: str) -> None:
    directory = tmp_path / "m"
    model = publish_made(tmp_path / "whole", task, architecture="llama")  # whose output layer has weights of its own
    table: Any = model.get_input_embeddings()  # type: ignore[operator]
    broken = Encoder(tmp_path / "whole" / "transformers-0", 8).encode(["awful"])[0][1]
    with torch.no_grad():
        table.weight[broken] = torch.nan
    publish_made(directory, task, model=model, texts=[text for text in TEXTS if "awful" not in text.split()])
    texts = [None, "good day", "", "an awful film", "good day"]
    columns, _ = predict_columns(Predictor(str(directory)), texts, Answers())
    name = next(iter(columns))
    assert columns["error"] == ["empty_text", None, "empty_text", MODEL_FAILED, None]
    assert columns["detail"] == [None, None, None, "logits are not finite", None]
    assert [columns[name][row] is None for row in range(5)] == [True, False, True, True, False]
    assert_same(columns[name][1], columns[name][4], name)


@pytest.mark.parametrize("task", ["multilabel", "regression", "embed", "clm"])
def test_golden_rows_of_every_task_are_replayed(tmp_path: Path, task: str) -> None:
    publish_made(tmp_path / "m", task, golden_shift=0.1)
    with pytest.raises(PublishedError, match=r"golden rows give other (logits|embedding) here"):
        Predictor(str(tmp_path / "m"))


@pytest.mark.parametrize(
    ("task", "asked", "message"),
    [
        ("regression", Answers(probabilities=True), "probabilities: found it with mode regression, expected classify"),
        ("multilabel", Answers(abstain_below=0.5), "abstain_below: found it with mode multilabel, expected classify"),
        ("embed", Answers(explain_share=0.5), "explain_share: found it with mode embed"),
        ("clm", Answers(top_k=3), "top_k: found it with mode perplexity"),
        (
            "clm",
            Answers(generation=Generation(max_new_tokens=3)),
            "generation: found it with mode perplexity",
        ),
        ("classify", Answers(mode="generate"), "mode: found generate with task=classify, expected classify"),
    ],
)
def test_what_a_model_does_not_know_is_refused(tmp_path: Path, task: str, asked: Answers, message: str) -> None:
    publish_made(tmp_path / "m", task)
    with pytest.raises(SettingsError, match=message):
        predict_columns(Predictor(str(tmp_path / "m")), TEXTS[:2], asked)


def test_a_masked_model_scores_nothing_and_says_so(tmp_path: Path) -> None:
    made: nn.Module = publish_made(tmp_path / "classifier", "classify")
    publish_made(tmp_path / "m", "mlm", model=made)
    with pytest.raises(PublishedError, match="found a model of task mlm, which predicts hidden tokens"):
        Predictor(str(tmp_path / "m"))


@pytest.mark.parametrize("task", ["classify", "multilabel", "regression", "embed", "clm"])
def test_columns_are_always_all_there(tmp_path: Path, task: str) -> None:
    publish_made(tmp_path / "m", task)
    predictor = Predictor(str(tmp_path / "m"))
    mode = predictor.published.mode_for(Answers())
    for texts in ([], ["good day"], [None]):
        columns, _ = predict_columns(predictor, texts, Answers())
        assert list(columns) == answer_schema(mode).names
        assert all(len(values) == len(texts) for values in columns.values())
