"""What tasks do for label and answer, without Spark: a bank of a classifier, its scope, and rows answered from it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mapring.contract import FileEntry, Manifest, code_version, publish, read_manifest, utc_now
from mapring.errors import PublishedError
from mapring.settings.answers import Answers
from mapring.settings.inputs import Input
from mapring.settings.retrieval import Retrieval
from spark_jobs.backends.published import link_to
from spark_jobs.prediction import predict_columns
from spark_jobs.predictor import Predictor
from spark_jobs.retrieval import stage
from spark_jobs.retrieval.scope import read_similarities
from tests.spark_jobs.backends.stock_vectors import stock_vectors
from tests.spark_jobs.retrieval.test_label_and_answer import publish_validation
from tests.tiny_modes import MAX_LENGTH, TEXTS, publish_made, stock_inputs

BANK = [text for text in dict.fromkeys(TEXTS) if len(text.split()) < MAX_LENGTH - 2][:12]
OTHERS = [text for text in dict.fromkeys(TEXTS) if text not in BANK]


def _publish_bank(root: Path, model: Path) -> Path:
    """A bank as the stage makes it, by what its tasks call; the validation texts are OTHERS and one template."""
    directory, shards = root / "bank", root / "shards"
    rows = {
        "file": [0] * len(BANK),
        "id": [f"t{place:04d}" for place in range(len(BANK))],
        "text": BANK,
        "label": [f"k{place % 3}" for place in range(len(BANK))],
    }
    common: dict[str, Any] = {"model_directory": str(model), "batch_tokens": 256, "directory": str(directory)}
    [vectors] = [row for row in _written(rows, common) if row["group"].startswith("vectors")]
    [templates] = [row for row in _written(rows, common) if row["group"].startswith("templates")]
    details: dict[str, Any] = {"vectors": [vectors["path"]], "templates": [templates["path"]], "index": None}
    ids = Predictor(str(model)).encoder.encode([*OTHERS, BANK[0]])
    publish_validation(str(shards), "5" * 16, ids)
    [scope] = stage._write_scope([None], shards_directory=str(shards), details=details, **common)
    golden = stage._golden(str(directory), details)
    entries = [
        FileEntry(path=row["path"], rows=row["rows"], bytes=row["bytes"], sha256=row["sha256"])
        for row in (vectors, templates)
    ]
    manifest = Manifest(
        kind="bank",
        fingerprint="b" * 16,
        created=utc_now(),
        code_version=code_version(),
        settings={},
        inputs=(link_to("model", str(model), read_manifest(str(model)).fingerprint),),
        files=(*entries, scope, golden),
        details={**details, "scope": scope.path, "golden": golden.path},
    )
    publish(str(directory), manifest)
    return directory


def _written(rows: dict[str, list[str]], common: dict[str, Any]) -> list[dict[str, Any]]:
    batches = stage._write_blocks([pa.RecordBatch.from_pydict(rows)], on_rows=lambda _: None, **common)
    return [row for batch in batches for row in batch.to_pylist()]


def test_label_and_answer_are_those_of_stock_transformers_and_withheld_together(tmp_path: Path) -> None:
    model: Any = publish_made(tmp_path / "model", "classify", temperature=1.5)
    bank = _publish_bank(tmp_path, tmp_path / "model")
    retrieval = Retrieval(bank=(Input(name="a", path="a", format="text"),), top_k=3, keep_in_scope=0.8)
    asked = Answers(mode="answer", top_k=2, abstain_below=0.4, retrieval=retrieval)
    predictor = Predictor(str(tmp_path / "model"), bank_directory=str(bank))
    found, _ = predict_columns(predictor, TEXTS, asked)
    labels, _ = predict_columns(Predictor(str(tmp_path / "model")), TEXTS, Answers(top_k=2))

    vectors = stock_vectors(model, [stock_inputs(predictor.encoder, text, False) for text in (*TEXTS, *BANK)])
    similarities = vectors[: len(TEXTS)] @ vectors[len(TEXTS) :].T
    nearest = dict(zip(TEXTS, np.sort(similarities, axis=1)[:, ::-1].tolist(), strict=True))
    scope = sorted([*(nearest[text][0] for text in OTHERS), nearest[BANK[0]][1]])  # a template, but not to itself
    path = read_manifest(str(bank)).details["scope"]
    np.testing.assert_allclose(read_similarities(str(bank / path)), scope, atol=1e-5)
    threshold = scope[len(scope) - math.ceil(0.8 * len(scope))]
    assert predictor.bank is not None and predictor.bank.threshold(retrieval) == pytest.approx(threshold, abs=1e-5)

    assert set(found["abstained"]) == {True, False}
    for place, text in enumerate(TEXTS):
        order = np.argsort(-similarities[place], kind="stable")[:3]
        assert [answer["id"] for answer in found["answers"][place]] == [f"t{number:04d}" for number in order]
        assert found["similarity"][place] == pytest.approx(nearest[text][0], abs=1e-5)
        assert found["score"][place] == pytest.approx(labels["score"][place], abs=1e-5)
        withheld = found["score"][place] < 0.4 or found["similarity"][place] < threshold - 1e-6
        assert found["abstained"][place] == withheld
        assert found["label"][place] == (None if withheld else labels["label"][place])
        assert found["answer"][place] == (None if withheld else found["answers"][place][0]["id"])


def test_a_text_that_stands_in_the_bank_is_as_near_as_can_be_to_itself(tmp_path: Path) -> None:
    """Rounding, which hangs on the batch, would leave half of them a bit below 1."""
    publish_made(tmp_path / "model", "classify")
    bank = _publish_bank(tmp_path, tmp_path / "model")
    retrieval = Retrieval(bank=(Input(name="a", path="a", format="text"),), abstain_below=1.0)
    predictor = Predictor(str(tmp_path / "model"), bank_directory=str(bank))
    found, _ = predict_columns(predictor, [*BANK, *OTHERS], Answers(mode="answer", retrieval=retrieval))
    assert found["abstained"] == [False] * len(BANK) + [True] * len(OTHERS)
    assert found["similarity"][: len(BANK)] == [1.0] * len(BANK)


def test_a_bank_of_other_vectors_is_refused(tmp_path: Path) -> None:
    publish_made(tmp_path / "model", "classify")
    bank = _publish_bank(tmp_path, tmp_path / "model")
    [vectors] = bank.glob("vectors-*")
    turned = -np.load(vectors)
    with vectors.open("wb") as handle:
        np.save(handle, turned)
    with pytest.raises(PublishedError, match="finds"):
        Predictor(str(tmp_path / "model"), bank_directory=str(bank))
