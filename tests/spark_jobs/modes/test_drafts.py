"""Drafts: what mode generate gives for the same prompts, for answered rows alone, and decoders that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel

from mapring.errors import PublishedError, StageError
from mapring.lineage import decoder_fingerprint
from mapring.settings.answers import Answers, Generation
from mapring.settings.draft import Draft
from spark_jobs.decoder import Decoder
from spark_jobs.modes.drafts import Drafted, write_drafts
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import Predictor
from tests.tiny_modes import TEXTS, publish_made

ROWS = [text for text in TEXTS if len(text.split()) < 9]
TEMPLATES = {"a": "good day", "b": "bad film", "c": "great"}
SAMPLING = {"max_new_tokens": 8, "temperature": 1.5, "top_k": 20}


def asked(prompt: str, **generation: Any) -> Answers:
    draft = Draft(model="m", prompt=prompt)
    return Answers(mode="retrieve", draft=draft, generation=Generation(**{"max_new_tokens": 8, **generation}))


def answered(texts: list[str | None]) -> dict[str, list[Any]]:
    """Columns of rows that are all answered; those without a text are not."""
    ids = [["a", "b"] if number % 2 else ["c"] for number in range(len(texts))]
    return {
        "label": [f"good{number % 2}" for number in range(len(texts))],
        "answers": [[{"id": one, "score": 0.5} for one in own] for own in ids],
        "abstained": [False if text else None for text in texts],
        "error": [None if text else "empty_text" for text in texts],
        "detail": [None] * len(texts),
    }


def opened(directory: Path, batch_tokens: int = 2048) -> Decoder:
    return Decoder(str(directory), decoder_fingerprint(str(directory)), 1, batch_tokens)


def drafts(decoder: Decoder, answers: Answers, texts: list[str | None], **columns: list[Any]) -> Drafted:
    def texts_of(ids: Any) -> list[str]:
        return [TEMPLATES[one] for one in ids]

    return write_drafts(decoder, answers, texts, {**answered(texts), **columns}, texts_of)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("decoder") / "m"
    publish_made(directory, "clm")
    return directory


@pytest.mark.parametrize("generation", [{}, SAMPLING, {"stop": ["e"]}])
def test_a_draft_is_what_mode_generate_gives_for_the_prompt(published: Path, generation: dict[str, Any]) -> None:
    answers = asked("great {text}\n{answer} ", **generation)
    found = drafts(opened(published), answers, [*ROWS])
    predictor = Predictor(str(published))
    prompts = [f"great {text} {'good day' if row % 2 else 'great'}" for row, text in enumerate(ROWS)]
    expected, _ = predict_columns(predictor, prompts, Answers(mode="generate", generation=answers.generation))
    assert found.columns["draft"] == expected["generated"] and len(set(expected["generated"])) > 5
    assert found.columns["draft_finish"] == expected["finish"]
    assert (found.written, found.failed, found.problem) == (len(ROWS), 0, None)
    assert set(found.columns["draft_model"]) == {"f" * 16} and set(found.columns["detail"]) == {None}
    assert decoder_fingerprint(str(published)) == "f" * 16


def test_a_plain_directory_writes_the_same_and_a_row_the_same_in_any_batch(published: Path) -> None:
    plain = published / "transformers-0"
    answers = asked("{label} {text} {answers}", **SAMPLING)
    whole = drafts(opened(plain), answers, [*ROWS]).columns["draft"]
    assert len(set(whole)) > len(set(ROWS)) / 2
    small = opened(plain, batch_tokens=16)
    for row in range(0, len(ROWS), 3):
        alone = drafts(small, answers, [*ROWS[: row + 1]], error=["given"] * row + [None]).columns["draft"]
        assert alone == [None] * row + [whole[row]]
    found = ["good day\nbad film" if row % 2 else "great" for row in range(len(ROWS))]
    prompts = [f"good{row % 2} {text} {found[row]}" for row, text in enumerate(ROWS)]
    assert whole == opened(plain)(prompts, answers.generation).texts, "prompts are taken as they are"


def test_only_answered_rows_have_a_draft_and_equal_prompts_are_written_once(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = opened(published)
    given: list[list[str]] = []
    generator = decoder._generator

    def recorded(texts: Any, settings: Generation) -> Any:
        given.append(list(texts))
        return generator(texts, settings)

    monkeypatch.setattr(decoder, "_generator", recorded)
    texts: list[str | None] = ["good", None, "bad", "good", "bad film"]
    found = drafts(decoder, asked("{text}"), texts, abstained=[False, None, True, False, False])
    assert given == [["good", "bad film"]]
    assert [draft is None for draft in found.columns["draft"]] == [False, True, True, False, False]
    assert found.columns["draft"][0] == found.columns["draft"][3] and found.written == 3
    assert found.columns["draft_model"][1:3] == found.columns["draft_finish"][1:3] == [None, None]


def test_a_draft_that_fails_leaves_its_row_and_says_why(published: Path) -> None:
    long = " ".join(["good"] * 15)
    found = drafts(opened(published), asked("{text}"), ["good day", long], detail=[None, None])
    assert (found.written, found.failed) == (1, 1)
    assert found.columns["draft"][1] is None and found.columns["draft_finish"][1] == "failed"
    assert found.columns["detail"] == [None, f"draft: {found.problem}"]
    assert found.problem == "the text has more than the 16 tokens that the model was trained with"
    assert found.columns["draft_model"] == ["f" * 16] * 2


def test_what_is_no_decoder_or_another_one_is_refused(tmp_path: Path, published: Path) -> None:
    with pytest.raises(StageError, match=f"found the decoder {'f' * 16}, expected {'0' * 16}, with which this run"):
        Decoder(str(published), "0" * 16, 1, 2048)
    plain = tmp_path / "plain"
    config = BertConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)
    torch.manual_seed(1)
    BertLMHeadModel(config).save_pretrained(plain)
    (plain / "tokenizer.json").write_bytes((published / "transformers-0" / "tokenizer.json").read_bytes())
    with pytest.raises(StageError, match=r"expected a decoder"):
        opened(plain)
    (plain / "model.safetensors").unlink()
    with pytest.raises(StageError, match="transformers loads no decoder from it"):
        opened(plain)
    publish_made(tmp_path / "shifted", "clm", golden_shift=0.1)
    with pytest.raises(PublishedError, match="golden rows give other logits"):
        opened(tmp_path / "shifted")
