"""Shards that are not what a training expects: changed, of another tokenizer, without rows, without labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mapring.contract import read_manifest
from mapring.errors import SettingsError
from mapring.plan import Plan
from tests.training.faults.ground import (
    Ended,
    Ground,
    assert_as_undisturbed,
    assert_clear_error,
    assert_exactly_once,
    in_process,
)
from tests.training.faults.kills import die_in_process
from tests.training.faults.points import point_of
from tests.training.running import fit
from tests.training.shards import Document, build_shards, split_of, tiny_model
from tests.training.thread_ring import run_ranks
from tests.training.tiny_plan import LABELS, WORDS, made_documents, publish_shards
from training.sample_log import read_samples


def shards_of_another_seed(ground: Ground) -> None:
    """Another seed or corpus makes other shards and another training, which takes up no checkpoint of the first."""
    plan = ground.plan()
    die_in_process(plan, point_of("after_the_optimizer_step"))
    other = ground.plan("seed=18")
    assert other.training_directory != plan.training_directory
    _begins_anew(other)
    again = in_process(plan)
    assert "going on from the checkpoint of step 6" in again.said
    assert_as_undisturbed(plan, ground.undisturbed())


def shards_changed_under_a_checkpoint(ground: Ground) -> None:
    """Other rows published under the same name: refused, and without the old checkpoints trained from the start."""
    plan = ground.plan()
    die_in_process(plan, point_of("after_the_optimizer_step"))
    kept = ground.own / "kept"
    shutil.move(plan.shards_directory, kept)
    publish_shards(plan, ground.base_model, made_documents(150, seed=1))
    assert_clear_error(in_process(plan), "the shards are not those that this checkpoint was trained on", "remove")

    shutil.rmtree(plan.shards_directory)
    shutil.move(kept, plan.shards_directory)
    _ends_well_with_checkpoint(ground, plan, 6)


def same_shards_published_again(ground: Ground) -> None:
    """The same rows made again at another time are the same shards: the training goes on."""
    plan = ground.plan()
    die_in_process(plan, point_of("after_the_optimizer_step"))
    record = Path(plan.shards_directory, "published.json").read_bytes()
    shutil.rmtree(plan.shards_directory)
    publish_shards(plan, ground.base_model, made_documents(150), code_version="another")
    assert Path(plan.shards_directory, "published.json").read_bytes() != record
    _ends_well_with_checkpoint(ground, plan, 6)


def shard_file_changed(ground: Ground) -> None:
    """One byte of a shard changed in place: refused by the file's name, before any step."""
    plan = ground.plan()
    die_in_process(plan, point_of("after_the_optimizer_step"))
    file = Path(
        plan.shards_directory, read_manifest(plan.shards_directory).details["splits"]["train"]["shards"][2][0]["path"]
    )
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert_clear_error(in_process(plan), file.name, "its checksum differs from the manifest", "preprocess again")
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    _ends_well_with_checkpoint(ground, plan, 6)


def checkpoint_of_another_training(ground: Ground) -> None:
    """Checkpoints copied from another training are refused."""
    plan, other = ground.plan(), ground.plan("seed=18")
    die_in_process(other, point_of("after_the_optimizer_step"))
    copied = Path(plan.training_directory, "checkpoints")
    shutil.copytree(Path(other.training_directory, "checkpoints"), copied)
    assert_clear_error(in_process(plan), f"found a checkpoint of model {other.model}, expected {plan.model}", "remove")
    shutil.rmtree(copied)
    _begins_anew(plan)


def wrong_tokenizer(ground: Ground) -> None:
    """Tokens that have other ids in the model's own tokenizer, or ids beyond its embeddings."""
    model = tiny_model(ground.own / "reversed", WORDS[::-1])
    told = "found 'good' with id 5, but for train.model that is 'it'"
    ended = in_process(ground.plan(f"train.model={model}"))
    assert_clear_error(ended, "preprocess.tokenizer: ", told, "use the tokenizer that belongs to the model", code=2)
    small = tiny_model(ground.own / "small", ["a", "b"])
    ended = in_process(ground.plan(f"train.model={small}"))
    assert_clear_error(ended, "found token ids up to 22, but train.model has 7 embeddings", code=2)


def older_shards_of_another_tokenizer(ground: Ground) -> None:
    """Older rows whose ids mean other tokens than those of the new ones."""
    older = str(ground.own / "older")
    tokenizer = tiny_model(ground.own / "reversed", WORDS[::-1])
    build_shards(older, split_of(made_documents(40), 0.15), labels=LABELS, tokenizer=tokenizer)
    ended = in_process(ground.plan(f"train.replay={older}"))
    assert_clear_error(ended, "train.replay.shards: ", "another tokenizer", f"preprocess.tokenizer={older}/tokenizer")


def label_unseen_in_training(ground: Ground) -> None:
    """A label that stands in validation and test only is said before the first step, and evaluated."""
    splits = split_of(made_documents(150), 0.15)
    for name in ("validation", "test"):
        splits[name] = [*splits[name], Document(f"odd {name}", 2), Document(f"very odd {name}", 2)]
    plan = ground.plan(documents=splits, labels=[*LABELS, "odd"])
    ended = in_process(plan)
    assert ended.code == 0, ended.said
    assert "warning: no training row has the label odd" in ended.said
    figures = _evaluation(plan)["test"]["per_class"][2]
    assert (figures["label"], figures["support"], figures["recall"]) == ("odd", 2, 0.0)
    assert_exactly_once(plan)


def fewer_rows_than_ranks(ground: Ground) -> None:
    """Three rows and four ranks: the rank without any takes part in every step."""
    documents = made_documents(9)
    splits = {"train": documents[:3], "validation": documents[3:6], "test": documents[6:]}
    plan = ground.plan(documents=splits)
    ended = run_ranks(4, lambda ring: fit(plan, ring)[1])
    assert [cursor.step for cursor in ended] == [2] * 4 and {cursor.rows for cursor in ended} == {6}
    assert [len(step.doc_ids) for step in read_samples(plan.training_directory).steps.values()] == [3, 3]
    assert_exactly_once(plan)


def more_ranks_than_lanes(ground: Ground) -> None:
    """Refused, with the number of ranks that the shards can have."""
    plan = ground.plan()
    with pytest.raises(SettingsError, match="found 4 lanes for 5 ranks; use at most 4 ranks"):
        run_ranks(5, lambda ring: fit(plan, ring))


def empty_split(ground: Ground) -> None:
    """Without rows to validate or test on it trains, and says that there are no figures."""
    plan = ground.plan(documents={"train": made_documents(40), "validation": [], "test": []})
    ended = in_process(plan)
    assert ended.code == 0 and "no test rows" in ended.said, ended.said
    evaluation = _evaluation(plan)
    assert evaluation["validation"]["accuracy"] is None and evaluation["test"]["rows"] == 0
    assert_exactly_once(plan)


def no_training_rows(ground: Ground) -> None:
    """Refused before any step."""
    documents = made_documents(9)
    plan = ground.plan(documents={"train": [], "validation": documents[:4], "test": documents[4:]})
    assert_clear_error(in_process(plan), "found no rows to train on; check the inputs and the splits")


def _begins_anew(plan: Plan) -> None:
    ended = in_process(plan)
    assert ended.code == 0 and "going on from" not in ended.said, ended.said
    assert_exactly_once(plan)


def _ends_well_with_checkpoint(ground: Ground, plan: Plan, step: int) -> None:
    ended: Ended = in_process(plan)
    assert ended.code == 0 and f"going on from the checkpoint of step {step}" in ended.said, ended.said
    assert_as_undisturbed(plan, ground.undisturbed())


def _evaluation(plan: Plan) -> dict[str, dict[str, object]]:
    details = read_manifest(plan.model_directory).details
    return dict(json.loads(Path(plan.model_directory, details["evaluation_file"]).read_text()))
