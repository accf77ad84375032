"""Choosing: what passes is published once and recheckable, what does not is refused by name, figure and setting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from mapring.contract import read_manifest
from mapring.contract.verify import verify
from mapring.errors import PublishedError, StageError
from mapring.settings.backends import BACKENDS
from pipelines.verify import verify_target
from spark_jobs.backends import candidates, probe
from spark_jobs.backends.graphs import Channels
from spark_jobs.backends.probe import choose
from spark_jobs.backends.published import golden_problem
from spark_jobs.predictor import Predictor
from tests.spark_jobs.backends.tiny_run import MODEL, SHARDS, TinyRun, publish_tiny_shards
from tests.tiny import sentence, write_tokenizer
from tests.tiny_model import publish_tiny_model


def published_files(run: TinyRun) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (run.root / "backends").rglob("*") if path.is_file()}


@pytest.fixture
def damaged_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    """Static scales that cut off nearly everything."""
    real = candidates.calibrate

    def narrow(*arguments: object) -> dict[str, Channels]:
        found = real(*arguments)  # type: ignore[arg-type]
        return {name: Channels(channels.low / 100, channels.high / 100) for name, channels in found.items()}

    monkeypatch.setattr(candidates, "calibrate", narrow)


@pytest.fixture
def by_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds that no machine changes: later names are faster."""
    speeds = iter(range(1, 100))
    monkeypatch.setattr(probe, "speed", lambda forward, sequences: float(next(speeds)))


@pytest.mark.parametrize("name", ["onnx-int8", "openvino-int8-token", "openvino-int8-checked", "torch-bf16"])
def test_what_passes_is_published_once_and_scores(run: TinyRun, name: str) -> None:
    choice = choose(run.probe(name), threads=1)
    assert choice.directory is not None and choice.refusal is None
    assert verify(choice.directory) == []
    manifest = read_manifest(choice.directory)
    assert (manifest.kind, manifest.details["backend"]) == ("backend", name)
    assert [link["fingerprint"] for link in manifest.inputs] == [MODEL, SHARDS]
    [figures] = manifest.details["candidates"]
    assert figures["figures"]["rows"] == 200 and figures["figures"]["labelled"] == 180
    assert figures["figures"]["agreement"] >= 0.9 and figures["documents_per_second"] > 0
    files = published_files(run)
    again = choose(run.probe(name), threads=1)
    assert again.directory == choice.directory and again.lines == [f"backend {name}, chosen before"]
    assert published_files(run) == files
    texts = [sentence(number)[0] for number in range(2000, 2100)]
    plain, found = (
        predictor.outputs(predictor.encode(texts)).logits
        for predictor in (Predictor(run.model), Predictor(run.model, backend_directory=choice.directory))
    )
    assert (plain.argmax(1) == found.argmax(1)).mean() >= 0.9
    assert np.abs(plain - found).max() > 1e-6, "another precision computed it"


def test_a_flipped_byte_and_a_changed_model_are_found(run: TinyRun) -> None:
    directory = choose(run.probe("onnx-int8"), threads=1).directory
    assert directory is not None
    for entry in read_manifest(directory).files:
        path = Path(directory, entry.path)
        content = path.read_bytes()
        path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
        assert verify(directory) == [f"{path}: checksum differs from the manifest"]
        with pytest.raises(PublishedError, match="1 of 3 published directories are damaged"):
            verify_target(str(run.root))
        path.write_bytes(content[:-1])
        with pytest.raises(PublishedError, match=r"found \d+ bytes, expected \d+ bytes; the backend was damaged"):
            Predictor(run.model, backend_directory=directory)
        path.write_bytes(content)
    record = Path(run.model, "published.json")
    record.write_bytes(record.read_bytes() + b" ")
    assert verify(directory) == [f"{run.model}: its published.json is not the one {directory} was made from"]


@pytest.mark.usefixtures("damaged_scales")
def test_a_damaged_graph_is_refused_with_its_figure_and_setting(run: TinyRun) -> None:
    choice = choose(run.probe("onnx-int8"), threads=1)
    assert choice.directory is None and not (run.root / "backends").exists()
    assert choice.refusal is not None
    assert "refused, 0." in choice.refusal and "(score.min_agreement)" in choice.refusal


@pytest.mark.usefixtures("by_order")
def test_an_agreement_of_all_rows_is_not_given_away(run: TinyRun) -> None:
    """Of the tiny model int8 changes some labels, whose agreement is therefore below 1."""
    choice = choose(run.probe("openvino-int8-token", min_agreement=1.0), threads=1)
    assert choice.directory is None
    assert choice.refusal is not None and "expected at least 1 (score.min_agreement)" in choice.refusal


@pytest.mark.usefixtures("damaged_scales", "by_order")
def test_auto_takes_the_fastest_that_passes_and_names_those_refused(
    run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = candidates.load_named

    def load(name: str, *arguments: object) -> object:
        if name in ("openvino-int8-token", "openvino-int8-checked"):
            raise ModuleNotFoundError("No module named 'openvino'")
        return real(name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(candidates, "load_named", load)
    choice = choose(run.probe("auto"), threads=1)
    assert choice.directory is not None
    manifest = read_manifest(choice.directory)
    found = {entry["name"]: entry for entry in manifest.details["candidates"]}
    assert set(found) == set(BACKENDS)
    assert manifest.details["backend"] == "openvino-bf16", "the faster ones have damaged scales, or cannot be loaded"
    assert "ModuleNotFoundError" in found["openvino-int8-token"]["refused"]
    assert "(score.min_agreement)" in found["openvino-int8-bf16"]["refused"]
    assert found["openvino-int8-bf16"]["figures"]["agreement"] < 0.9
    assert found["openvino-bf16"]["refused"] is None
    assert {found[name]["refused"] for name in ("torch", "onnx", "onnx-int8")} == {"slower than the chosen one"}
    told = "\n".join(choice.lines)
    assert (
        "backend openvino-int8-bf16 7 docs/s: refused, 0." in told and "backend openvino-bf16 6 docs/s: chosen" in told
    )
    assert verify(choice.directory) == []


def test_what_fails_behind_its_timing_is_refused_and_the_next_is_taken(
    run: TinyRun, monkeypatch: pytest.MonkeyPatch, by_order: None
) -> None:
    monkeypatch.setattr(probe, "BACKENDS", ("torch", "torch-bf16"))
    real, loaded = candidates.load_named, []

    def load(name: str, *arguments: object) -> object:
        loaded.append(name)
        if name == "torch-bf16" and loaded.count(name) == 2:
            raise MemoryError("no room")
        return real(name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(candidates, "load_named", load)
    choice = choose(run.probe("auto"), threads=1)
    assert choice.directory is not None
    assert "backend torch-bf16 2 docs/s: refused, cannot be computed here (MemoryError: no room)" in choice.lines
    assert read_manifest(choice.directory).details["backend"] == "torch"


def test_the_choice_of_a_faster_run_is_told(run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = probe.publish_backend

    def slower(directory: str, **given: Any) -> bool:
        publish(directory, **{**given, "name": "torch"})
        return publish(directory, **given)

    monkeypatch.setattr(probe, "publish_backend", slower)
    choice = choose(run.probe("torch-bf16"), threads=1)
    assert choice.directory is not None and choice.lines == ["backend torch, chosen by another run"]


def test_golden_logits_are_held_to_a_tolerance_of_their_size() -> None:
    expected = np.array([[40.0, 0.0], [0.5, 0.0]], np.float32)
    assert golden_problem("onnx", expected, expected + np.array([[2e-3], [0]], np.float32)) is None
    problem = golden_problem("onnx", expected, expected + np.array([[0], [2e-3]], np.float32))
    assert problem == "give other logits here (row 1 differs by 0.002, allowed 0.0001)"
    nothing = np.full_like(expected, np.nan)
    assert golden_problem("onnx", expected, nothing) is not None
    moved = expected + np.array([[0], [0.4]], np.float32)
    assert golden_problem("openvino-int8-checked", expected, moved) is not None
    assert golden_problem("openvino-int8-checked", expected, moved, margin=0.3) is None


@pytest.mark.parametrize("kind", ["int8 weights", "int8 static"])
def test_a_graph_without_dense_layers_is_not_rounded(tmp_path: Path, kind: candidates.GraphKind) -> None:
    given, made = (onnx.helper.make_tensor_value_info(name, 1, [None, 3]) for name in ("x", "logits"))
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["logits"])], "g", [given], [made])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "model.onnx")
    model: Any = SimpleNamespace(details={"onnx": "model.onnx"})
    found = candidates.Candidates(model, tmp_path, tmp_path, [[1]], 1, "cpu", 64)
    with pytest.raises(PublishedError, match="the graph has no dense layers to round"):
        found._make(kind)


def test_a_backend_of_another_model_is_refused(run: TinyRun) -> None:
    directory = choose(run.probe("torch-bf16"), threads=1).directory
    other = run.root / "models" / ("7" * 16)
    publish_tiny_model(str(other), run.root / "tokenizer", "7" * 16, seed=2)
    with pytest.raises(PublishedError, match=f"found a backend of the model {MODEL}, expected one of {'7' * 16}"):
        Predictor(str(other), backend_directory=directory)
    with pytest.raises(PublishedError, match="found model, expected a backend"):
        Predictor(run.model, backend_directory=run.model)


def test_golden_rows_of_the_backend_are_replayed(run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that was published with the logits of another one does not start."""
    monkeypatch.setattr(probe, "_golden", lambda candidates, name: np.zeros((10, 3), np.float32))
    directory = choose(run.probe("onnx-int8"), threads=1).directory
    with pytest.raises(PublishedError, match="golden rows give other logits here"):
        Predictor(run.model, backend_directory=directory)


def test_what_cannot_be_judged_is_refused_with_a_way_out(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    publish_tiny_model(run.model, tokenizer, MODEL)
    publish_tiny_shards(run.shards, tokenizer, SHARDS, validation=0)
    with pytest.raises(StageError, match=r"no validation rows .* set preprocess\.splits\.validation above 0"):
        choose(run.probe("torch-bf16"), threads=1)
    model, shards = read_manifest(run.model), read_manifest(run.shards)
    numbers = replace(model, details={**model.details, "task": "regression"})
    with pytest.raises(StageError, match=r"score\.backend: found auto for a model of the task regression, .*=torch"):
        probe._check(run.probe("auto"), numbers, shards)
    pairs = replace(shards, details={**shards.details, "pairs": True})
    with pytest.raises(StageError, match=r"score\.backend: found onnx for a model of pairs, .*score\.backend=torch"):
        probe._check(run.probe("onnx"), model, pairs)


def test_a_model_without_a_graph_has_no_graph_s_backends(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    publish_tiny_model(run.model, tokenizer, MODEL)
    publish_tiny_shards(run.shards, tokenizer, SHARDS)
    choice = choose(run.probe("onnx-int8"), threads=1)
    assert choice.directory is None
    assert choice.refusal is not None and "was published without an ONNX graph" in choice.refusal
