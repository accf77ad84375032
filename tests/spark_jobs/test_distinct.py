"""Equal texts are given to the model once, and every row gets the answer that its text gets alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapring.settings.answers import Answers
from spark_jobs.distinct import distinct_texts
from spark_jobs.modes.explanation import is_chosen
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import Predictor
from tests.tiny_modes import TEXTS, publish_made

ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "classify": ("classify", {"probabilities": True, "top_k": 2, "explain_share": 0.5}),
    "regression": ("regression", {"explain_share": 0.5}),
    "embed": ("embed", {}),
    "perplexity": ("clm", {}),
    "generate": ("clm", {"mode": "generate", "generation": {"max_new_tokens": 4, "temperature": 1.5}}),
}


@given(texts=st.lists(st.sampled_from("abcdef")))
def test_every_row_finds_its_text_and_no_text_stands_twice(texts: list[str]) -> None:
    found = distinct_texts(texts)
    assert [found.texts[place] for place in found.places] == texts
    assert found.texts == list(dict.fromkeys(texts))


@pytest.fixture(scope="module", params=list(ASKED))
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, Answers]:
    task, answers = ASKED[request.param]
    directory = tmp_path_factory.mktemp(request.param) / "m"
    publish_made(directory, task)
    return Predictor(str(directory), batch_tokens=64), Answers.model_validate(answers)


@settings(max_examples=10, deadline=None)
@given(rows=st.lists(st.sampled_from([None, "", *TEXTS[:8]]), max_size=24))
def test_a_row_has_the_answer_of_its_text_alone(asked: tuple[Predictor, Answers], rows: list[str | None]) -> None:
    predictor, answers = asked
    keys = [str(number) for number in range(len(rows))]
    found, computed = predict_columns(predictor, rows, answers, keys)
    given = [text for text in rows if text]
    assert (computed.texts, computed.texts + computed.fanned_out) == (len(set(given)), len(given))
    for row, (text, key) in enumerate(zip(rows, keys, strict=True)):
        alone, _ = predict_columns(predictor, [text], answers, [key])
        for name, [expected] in alone.items():
            _same(found[name][row], expected)
        if text and "explanation" in found:
            assert (found["explanation"][row] is not None) == is_chosen(key, 0.5), "rows are chosen, not texts"


def _same(found: Any, expected: Any) -> None:
    if isinstance(expected, list) and expected and isinstance(expected[0], dict):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert one.keys() == other.keys()
            for name in one:
                _same(one[name], other[name])
    elif isinstance(expected, float | np.ndarray | list):
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-5)
    else:
        assert found == expected


def test_the_model_is_given_a_text_once(asked: tuple[Predictor, Answers], monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, answers = asked
    name = "generator" if answers.mode == "generate" else "encode"
    real, seen = getattr(predictor, name), list[str]()

    def watched(texts: list[str], *more: Any) -> Any:
        seen.extend(texts)
        return real(texts, *more)

    monkeypatch.setattr(predictor, name, watched, raising=False)
    predict_columns(predictor, [TEXTS[1], "", TEXTS[2], TEXTS[1], None, TEXTS[2]], answers)
    assert seen == [TEXTS[1], TEXTS[2]]
