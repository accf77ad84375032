"""The model that reads pairs is checked before anything starts, and must not have learned what the ranker learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mapring.contract import FileEntry, Manifest, publish, read_manifest, utc_now
from mapring.contract.manifest import Kind
from mapring.errors import InputError, SettingsError, StageError
from mapring.plan import Plan
from spark_jobs.recommending.reranker import check_taught_before, reranker_scores, taught_until
from tests.spark_jobs.recommending.test_recommend import plan_of, reranked
from tests.tiny_modes import publish_made


def scores_of(plan: Plan):  # type: ignore[no-untyped-def]
    assert plan.recommending.reranker is not None
    return reranker_scores(plan, plan.recommending.reranker)


def test_only_models_that_give_pairs_a_number_are_taken(tmp_path: Path) -> None:
    for task, is_pair in (("classify", True), ("classify", False), ("regression", True), ("embed", False)):
        publish_made(tmp_path / f"{task}-{is_pair}", task, is_pair=is_pair)
    found = scores_of(plan_of(tmp_path, *reranked(tmp_path / "classify-True")))
    assert found.names[found.own] == "probability of good"
    found = scores_of(plan_of(tmp_path, *reranked(tmp_path / "regression-True")))
    assert (found.names, found.own) == (("value",), 0)
    for name, told in (("classify-False", "task classify on single texts"), ("embed-False", "task embed on single")):
        with pytest.raises(StageError, match=f"found a model of {told}.* expected one of task classify or regression"):
            scores_of(plan_of(tmp_path, *reranked(tmp_path / name)))
    with pytest.raises(SettingsError, match=r"recommend.reranker.label: found 'liked', .* 'bad', 'good', 'neither'"):
        scores_of(plan_of(tmp_path, *reranked(tmp_path / "classify-True", "recommend.reranker.label=liked")))
    own = plan_of(
        tmp_path, "recommend.model=false", "recommend.reranker={}", "recommend.pair_negatives=2", "train.task=classify"
    )
    assert own.reranker_directory == own.model_directory
    with pytest.raises(StageError, match=r"found no model at .*; run `mapring train"):
        scores_of(own)


def publish_taught(run_dir: Path, until: float | None) -> Path:
    """A model, its shards and the pairs that these were made of; the model's directory."""
    content = f"pairs until {until}".encode()
    entry = FileEntry.of("data/pairs-00000.parquet", content, 1)
    details = {} if until is None else {"until": until}
    empty = Manifest(kind="pairs", fingerprint="", created=utc_now(), code_version="", settings={}, inputs=(), files=())

    def put(folder: str, kind: Kind, **values: object) -> Path:
        directory = run_dir / folder / ("a" * 16)
        assert publish(str(directory), replace(empty, kind=kind, fingerprint="a" * 16, **values))  # type: ignore[arg-type]
        return directory

    put("pairs", "pairs", files=(entry,), details=details)
    identity = {"source": "pairs", "path": "pairs-00000.parquet", "identity": f"sha256:{entry.sha256}"}
    put("shards", "shards", inputs=(identity,))
    return put("models", "model", inputs=({"kind": "shards", "fingerprint": "a" * 16},))


def test_a_model_that_learned_what_the_ranker_learns_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = publish_taught(tmp_path / "one", 1_000.0)
    assert taught_until(str(model)) == 1_000.0
    plan = plan_of(tmp_path, *reranked(tmp_path / "one"))
    assert check_taught_before(plan, 1_000.0, "recommend") == 1_000.0
    assert capsys.readouterr().err == ""
    with pytest.raises(InputError, match=r"until 1970-01-01 00:16 UTC.* from 1970-01-01 00:15 UTC on"):
        check_taught_before(plan, 900.0, "recommend")


def test_where_it_cannot_be_told_what_a_model_learned_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, until in (("unsaid", None), ("other", 5.0), ("gone", 5.0)):
        publish_taught(tmp_path / name, until)
    shards = tmp_path / "other/shards" / ("a" * 16)
    manifest = read_manifest(str(shards))
    for path in shards.iterdir():
        path.unlink()
    more = {"source": "more", "path": "more.csv", "identity": "sha256:0"}
    publish(str(shards), replace(manifest, inputs=(*manifest.inputs, more)))
    for path in (tmp_path / "gone/shards" / ("a" * 16)).iterdir():
        path.unlink()
    for name in ("unsaid", "other", "gone"):
        plan = plan_of(tmp_path, *reranked(tmp_path / name))
        assert check_taught_before(plan, 0.0, "recommend") is None
        assert "make sure that it saw no interaction from 1970-01-01 00:00 UTC on" in capsys.readouterr().err
