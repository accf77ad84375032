"""Texts continued: as stock transformers does it, alone or in any batch, with every way to end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from mapring.errors import PublishedError, SettingsError
from mapring.settings.answers import Answers, Generation
from mapring.text import Encoder
from spark_jobs.modes.generation import draw
from spark_jobs.prediction import MODEL_FAILED, predict_columns
from spark_jobs.predictor import Predictor
from tests.tiny_modes import MAX_LENGTH, TEXTS, publish_made

PROMPTS = [text for text in TEXTS if len(text.split()) <= MAX_LENGTH - 2]


def asked(**generation: Any) -> Answers:
    return Answers(mode="generate", generation=Generation(**{"max_new_tokens": 12, **generation}))


@pytest.fixture(params=["gpt2", "llama"])
def directory(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    publish_made(tmp_path / "m", "clm", architecture=request.param)
    return tmp_path / "m"


def stock_model(directory: Path) -> tuple[Any, Tokenizer]:
    from transformers import AutoModelForCausalLM

    stock = directory / "transformers-0"
    model = AutoModelForCausalLM.from_pretrained(stock, local_files_only=True).eval()
    return model, Tokenizer.from_file(str(stock / "tokenizer.json"))


def test_greedy_is_what_stock_generate_gives(directory: Path) -> None:
    model, tokenizer = stock_model(directory)
    found, _ = predict_columns(Predictor(str(directory)), PROMPTS, asked())
    ends = {tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")}
    for row, text in enumerate(PROMPTS):
        prompt = torch.tensor([tokenizer.encode(text).ids[:-1]])  # without the closing token
        whole = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=sorted(ends),
        )
        new = [token for token in whole[0, prompt.shape[1] :].tolist() if token not in ends]
        assert found["generated"][row] == tokenizer.decode(new), text
        assert found["tokens"][row] == len(new)
        assert found["finish"][row] == ("length" if len(new) == 12 else "end")
    assert found["error"] == [None] * len(PROMPTS)


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.5, "top_k": 20, "top_p": 0.95}])
def test_a_text_becomes_the_same_alone_or_in_any_batch(directory: Path, sampling: dict[str, Any]) -> None:
    answers = asked(**sampling)
    together, _ = predict_columns(Predictor(str(directory)), PROMPTS, answers)
    small = Predictor(str(directory), batch_tokens=16)
    order = np.random.default_rng(2).permutation(len(PROMPTS)).tolist()
    shuffled, _ = predict_columns(small, [PROMPTS[row] for row in order], answers)
    for place, row in enumerate(order):
        for name in ("generated", "tokens", "finish"):
            assert shuffled[name][place] == together[name][row]
    alone, _ = predict_columns(small, [PROMPTS[7]], answers)
    assert alone["generated"] == [together["generated"][7]]
    if sampling:
        other, _ = predict_columns(small, PROMPTS, asked(**sampling, seed=18))
        changed = [one != before for one, before in zip(other["generated"], together["generated"], strict=True)]
        assert np.mean(changed) > 0.9, "another seed draws otherwise"


def test_it_ends_before_a_stop_string_or_at_the_length(directory: Path) -> None:
    predictor = Predictor(str(directory))
    plain, _ = predict_columns(predictor, PROMPTS, asked())
    row = next(row for row, text in enumerate(plain["generated"]) if len(set(text.split())) > 2)
    words = plain["generated"][row].split()
    stop = next(word for word in words if word != words[0])
    stopped, _ = predict_columns(predictor, PROMPTS, asked(stop=["never written", stop]))
    for before, after, finish in zip(plain["generated"], stopped["generated"], stopped["finish"], strict=True):
        assert after == before.split(stop)[0] if stop in before else after == before
        assert (finish == "stop") == (stop in before)
    short, _ = predict_columns(predictor, [PROMPTS[row]], asked(max_new_tokens=1))
    assert (short["generated"], short["tokens"], short["finish"]) == ([words[0]], [1], ["length"])


def test_it_goes_on_to_the_model_s_own_length_and_no_further(directory: Path) -> None:
    ends = {"end", "length"}
    found, _ = predict_columns(Predictor(str(directory)), PROMPTS, asked(max_new_tokens=500))
    assert found["error"] == [None] * len(PROMPTS)
    lengths = [len(text.split()) + 1 for text in PROMPTS]  # and the opening token; each word is one token
    for length, tokens, finish in zip(lengths, found["tokens"], found["finish"], strict=True):
        assert finish in ends and (finish == "end" or length + tokens == 48)


def test_a_prompt_too_long_for_the_model_fails_and_is_not_cut(directory: Path) -> None:
    long = " ".join(["good"] * 40)
    found, _ = predict_columns(Predictor(str(directory)), ["good day", long, None], asked())
    assert found["error"] == [None, MODEL_FAILED, "empty_text"]
    assert found["detail"][1] == f"the text has more than the {MAX_LENGTH} tokens that the model was trained with"
    assert found["generated"][1] is None and found["generated"][0] is not None


def test_drawing_follows_the_probabilities() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    chances = (np.arange(10_000) + 0.5) / 10_000
    counts = Counter(draw(logits, Generation(temperature=1), chance) for chance in chances)
    assert [counts[token] for token in range(4)] == [5000, 3000, 1500, 500]
    counts = Counter(draw(logits, Generation(temperature=1, top_k=2), chance) for chance in chances)
    assert [counts[token] for token in range(4)] == [6250, 3750, 0, 0]
    counts = Counter(draw(logits, Generation(temperature=1, top_p=0.6), chance) for chance in chances)
    assert [counts[token] for token in range(4)] == [6250, 3750, 0, 0]
    counts = Counter(draw(logits, Generation(temperature=0.5), chance) for chance in chances)
    assert counts[0] == pytest.approx(10_000 * 0.25 / 0.365, abs=2)


def test_hardly_any_temperature_is_greedy() -> None:
    logits = np.array([-1.5, 3.25, 3.0, -7.0], np.float32)
    assert [draw(logits, Generation(temperature=1e-310), chance) for chance in (0.0, 0.4, 0.999)] == [1, 1, 1]


def test_of_a_prompt_only_the_last_token_s_logits_are_computed(directory: Path) -> None:
    predictor = Predictor(str(directory))
    shapes: list[tuple[int, ...]] = []
    head = predictor.generator._model.get_output_embeddings()
    head.register_forward_hook(lambda _head, _given, found: shapes.append(tuple(found.shape[:2])))
    predict_columns(predictor, PROMPTS[:4], asked())
    assert shapes and all(tokens == 1 for _, tokens in shapes)


def test_a_text_that_fails_spares_those_of_its_batch(tmp_path: Path) -> None:
    model: Any = publish_made(tmp_path / "whole", "clm", architecture="llama")
    plain, _ = predict_columns(Predictor(str(tmp_path / "whole")), PROMPTS, asked())
    broken = Encoder(tmp_path / "whole" / "transformers-0", MAX_LENGTH).encode(["awful"])[0][1]
    with torch.no_grad():
        model.get_input_embeddings().weight[broken] = torch.nan
    spared = [text for text in TEXTS if "awful" not in text.split()]
    publish_made(tmp_path / "m", "clm", model=model, texts=spared)
    found, _ = predict_columns(Predictor(str(tmp_path / "m")), PROMPTS, asked())
    fails = []
    for text, written, finish in zip(PROMPTS, plain["generated"], plain["finish"], strict=True):
        words = f"{text} {written}".split()
        fails.append("awful" in (words if finish == "end" else words[:-1]))  # the last word is not always read
    assert 0 < sum(fails) < len(PROMPTS)
    for row, failed in enumerate(fails):
        assert found["error"][row] == (MODEL_FAILED if failed else None)
        assert found["detail"][row] == ("logits are not finite" if failed else None)
        assert found["generated"][row] == (None if failed else plain["generated"][row])


def test_golden_rows_are_replayed_step_by_step(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that forgets gives other logits than the whole row, which was right."""
    predictor = Predictor(str(directory))
    monkeypatch.setattr("spark_jobs.modes.generation._kept", lambda *_: None)
    with pytest.raises(PublishedError, match="golden rows give other logits, from one token to the next, here"):
        predict_columns(predictor, PROMPTS[:1], asked())


def test_what_cannot_be_continued_is_refused(tmp_path: Path) -> None:
    publish_made(tmp_path / "pairs", "clm", is_pair=True)
    with pytest.raises(SettingsError, match="mode: found generate, but the model reads pairs of texts"):
        predict_columns(Predictor(str(tmp_path / "pairs")), [], asked())
