"""Continued training: older rows among the new ones, and how much is forgotten, exact on any number of ranks."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mapring import contract
from mapring.contract.verify import verify
from mapring.errors import SettingsError
from mapring.plan import Plan, make_plan
from tests.training.conftest import LABELS, PlanMaker, made_documents
from tests.training.faults.ground import in_process
from tests.training.running import NoStop, fit, prepare, weights
from tests.training.shards import Document, build_shards, split_of
from tests.training.thread_ring import ThreadRing, run_ranks
from tests.training.tiny_plan import COMMON
from training.forgetting import figures_on, forgetting, told
from training.label_names import ids_by_name, rename_labels
from training.loop import StoppedError
from training.older_shards import OlderShards, check_fit, open_older
from training.reader import NO_LABEL, Batch, ShardReader
from training.replay import ReplayReader, older_rows, open_reader, rows_of_an_epoch
from training.ring.interface import AgreedError
from training.ring.single import SingleRing
from training.shard_check import rows_of_labels
from training.tasks import open_task
from training.tasks.embedding import Embedding
from training.tasks.made_rows import made_batch
from training.tasks.pairs import PairForm

Step = Counter[tuple[str, int, tuple[int, ...]]]


@pytest.fixture
def older_shards(tmp_path: Path, base_model: Path) -> Path:
    """84 training rows in 3 lanes, whose labels have the ids that they have not in the new shards."""
    documents = [document._replace(label_id=1 - (document.label_id or 0)) for document in made_documents(120, seed=9)]
    build_shards(str(tmp_path / "older"), split_of(documents, 0.15), labels=LABELS[::-1], tokenizer=base_model, lanes=3)
    return tmp_path / "older"


def replaying(directory: Path, share: float) -> str:
    return f"train.replay={{shards: {directory}, share: {share}}}"


def rows_of(batch: Batch) -> Step:
    rows = zip(batch.doc_ids, batch.label_ids.tolist(), batch.input_ids, strict=True)
    return Counter((doc_id, label, tuple(ids.tolist())) for doc_id, label, ids in rows)


def global_steps(plan: Plan, size: int, epoch: int, first: int = 0) -> list[Step]:
    """What all ranks together have in each step."""
    steps: list[Step] = []
    task = open_task(plan)
    for rank in range(size):
        ring: Any = SingleRing()
        ring.rank, ring.size = rank, size
        for number, batch in enumerate(open_reader(plan, open_older(plan, task), task, ring).epoch(epoch, first)):
            if number == len(steps):
                steps.append(Counter())
            steps[number] += rows_of(batch)
    return steps


def test_batches_are_the_same_for_any_number_of_ranks_and_behind_a_resume(
    make_tiny_plan: PlanMaker, older_shards: Path
) -> None:
    plan = make_tiny_plan(replaying(older_shards, 0.5))
    alone = {epoch: global_steps(plan, 1, epoch) for epoch in (0, 1)}
    assert global_steps(plan, 2, 1) == global_steps(plan, 3, 1) == alone[1]
    for first in (0, 4, 11):
        assert global_steps(plan, 1, 1, first) == alone[1][first:]
    assert alone[0][0] != alone[1][0]
    with pytest.raises(SettingsError, match="3 lanes for 4 ranks"):
        global_steps(plan, 4, 0)


def test_the_share_is_exact_and_every_older_row_comes_in_its_turn(
    make_tiny_plan: PlanMaker, older_shards: Path
) -> None:
    plan = make_tiny_plan(replaying(older_shards, 0.25))
    older = ShardReader(str(older_shards), "train", global_batch=3)
    names = {doc_id: LABELS[1 - label] for batch in older.rows() for doc_id, label, _ in rows_of(batch)}
    new = ShardReader(plan.shards_directory, "train", global_batch=16, shuffle_window=128)
    training = prepare(plan)[0].reader
    assert isinstance(training, ReplayReader)
    assert (training.steps, training.rows_in_split, training.tokens) == (new.steps, new.rows_in_split, new.tokens)
    replayed: Step = Counter()
    number = 0
    for epoch in (0, 1):
        for batch, own in zip(training.epoch(epoch), new.epoch(epoch), strict=True):
            rest = rows_of(batch) - rows_of(own)
            expected = older.order.global_rows(number % older.steps)
            assert (rest.total(), batch.global_rows) == (expected, len(own) + expected)
            assert len(batch.lane_rows) == 7 and sum(batch.lane_rows) == len(batch)
            assert all(LABELS[label] == names[doc_id] for doc_id, label, _ in rest)  # by name, not by number
            replayed += rest
            number += 1
            if number == older.steps:
                assert len(replayed) == older.rows_in_split and set(replayed.values()) == {1}
    assert number > older.steps and max(replayed.values()) == 2


def test_labels_are_counted_as_often_as_their_rows_come(make_tiny_plan: PlanMaker, older_shards: Path) -> None:
    plan = make_tiny_plan(replaying(older_shards, 0.25))
    task, ring = open_task(plan), SingleRing()
    older = open_older(plan, task)
    new = rows_of_labels(ring, plan.shards_directory, 2)
    swapped = rows_of_labels(ring, str(older_shards), 2)
    found = rows_of_an_epoch(ring, plan.shards_directory, older, open_reader(plan, older, task, ring), LABELS)
    times = 15 / 28  # steps of both, with 3 of 84 older rows in each
    assert found == pytest.approx([new[0] + times * swapped[1], new[1] + times * swapped[0]])
    assert sum(found) == pytest.approx(232 + 15 * 3)


def test_a_share_is_rounded_to_stripes_but_never_to_none() -> None:
    assert [older_rows(share, 32, 4) for share in (0.001, 0.2, 0.5, 1.0)] == [4, 8, 16, 32]
    assert older_rows(0.2, 32, 1) == 6


def test_a_stopped_training_goes_on_to_the_same_bits_and_keeps_the_figures_from_before(
    make_tiny_plan: PlanMaker, tmp_path: Path, older_shards: Path
) -> None:
    words = ("train.evaluate_checkpoints=false", replaying(older_shards, 0.5))
    straight_plan = make_tiny_plan(*words, f"run_dir={tmp_path}/straight")
    _, fresh = prepare(straight_plan)
    straight, end = fit(straight_plan)
    plan = make_tiny_plan(*words)
    assert plan.model == straight_plan.model
    with pytest.raises(StoppedError, match="after step 5"):
        fit(plan, stop=NoStop(after_step=5))
    resumed, resumed_end = fit(plan)
    assert fresh.older_before == end.older_before == resumed_end.older_before
    assert fresh.older_before is not None and fresh.older_before["rows"] == 18
    assert {"accuracy", "macro_f1", "loss"} <= fresh.older_before.keys()
    assert end.rows == resumed_end.rows == 232 + 84 + 5 * 9  # 84 older rows are 10 steps, and 5 more begin anew
    for name, tensor in weights(straight).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_figures_on_older_shards_are_exact_on_any_number_of_ranks_and_by_name(
    make_tiny_plan: PlanMaker, tmp_path: Path, older_shards: Path, base_model: Path
) -> None:
    plan = make_tiny_plan(replaying(older_shards, 0))
    training, cursor = prepare(plan)
    assert isinstance(training.reader, ShardReader)  # a share of 0 measures only
    older = open_older(plan, training.task)
    assert older is not None

    def work(ring: ThreadRing) -> dict[str, float]:
        return figures_on(older, training.task, training.model, ring)  # type: ignore[arg-type]

    assert run_ranks(2, work) == [cursor.older_before] * 2
    assert run_ranks(3, work) == [cursor.older_before] * 3
    splits = split_of(made_documents(120, seed=9), 0.15)  # the same texts and names with the new shards' ids
    build_shards(str(tmp_path / "same"), splits, labels=LABELS, tokenizer=base_model, lanes=3)
    same = replace(older, directory=str(tmp_path / "same"))
    assert figures_on(same, training.task, training.model, SingleRing()) == cursor.older_before


def odd_documents(count: int) -> list[Document]:
    """Documents of a third label, with none of the words that tell the other two."""
    texts = {f"{a} {b} {c}" for a in COMMON for b in COMMON for c in COMMON}
    return [Document(text, 2) for text in sorted(texts)[:count]]


def test_a_model_forgets_and_with_replay_it_forgets_less(make_tiny_plan: PlanMaker, tmp_path: Path) -> None:
    words = ("train.baselines=false", "train.checkpoint_every_steps=100")
    first = make_tiny_plan(*words, "train.epochs=6")
    assert in_process(first).code == 0
    found: dict[float, dict[str, Any]] = {}
    for share in (0.0, 0.5):
        plan = make_tiny_plan(
            f"train.model={first.model_directory}",  # a published model, as it is
            *words,
            "train.epochs=8",
            "train.dropout=0.0",  # with it, whether so small a model learns in time is its seed's luck
            f"run_dir={tmp_path}/second",
            replaying(Path(first.shards_directory), share),
            documents=odd_documents(330),
            labels=[*LABELS, "odd"],
        )
        ended = in_process(plan)
        assert ended.code == 0 and "rows of the older shards" in ended.said
        assert ("no training row has the label bad, good" in ended.said) == (share == 0)
        manifest = contract.read_manifest(plan.model_directory)
        assert verify(plan.model_directory) == []
        found[share] = manifest.details["evaluation"]["forgetting"]
        assert found[share]["split"] == "test" and found[share]["shards"] == first.shards
        links = {link["kind"]: link for link in manifest.inputs}
        assert links["older_shards"]["fingerprint"] == first.shards
        assert links["base_model"]["fingerprint"] == first.model
        stored = json.loads(Path(plan.model_directory, manifest.details["evaluation_file"]).read_text())
        assert stored["forgetting"] == found[share]
        card = Path(plan.model_directory, manifest.details["card"]).read_text()
        assert "## What became of the earlier corpus" in card and "| accuracy |" in card
    before = found[0.0]["before"]
    assert before == found[0.5]["before"] and before["accuracy"] > 0.9
    assert found[0.0]["after"]["accuracy"] < 0.7
    assert found[0.5]["after"]["accuracy"] > 0.9
    assert found[0.0]["change"]["loss"] > 2 * found[0.5]["change"]["loss"]
    assert found[0.0]["change"]["accuracy"] == found[0.0]["after"]["accuracy"] - before["accuracy"]


def test_what_does_not_fit_is_refused(make_tiny_plan: PlanMaker, older_shards: Path) -> None:
    plan = make_tiny_plan(shards=True)
    task, new = open_task(plan), contract.read_manifest(plan.shards_directory)
    older = contract.read_manifest(str(older_shards))

    def changed(**details: Any) -> contract.Manifest:
        return replace(older, details={**older.details, **details})

    other = tuple(
        replace(entry, sha256="0" * 64) if entry.path.endswith("tokenizer.json") else entry for entry in older.files
    )
    check_fit("older", new, older, task)
    for manifest, told_of in (
        (replace(older, files=other), "another tokenizer .*; preprocess .* preprocess.tokenizer=older/tokenizer"),
        (changed(tokenizer=None), "another tokenizer"),
        (changed(packing={}), "with preprocess.packing, expected it without"),
        (changed(pairs=True), "with second_text_column of preprocess.inputs, expected it without"),
        (changed(max_length=64), "up to 64 tokens, expected at most 32; set preprocess.max_length=64"),
        (changed(label_kind="several"), "preprocess.labels=several, expected one"),
        (changed(labels=["good", "ugly"]), "has the labels ugly, which the new shards have not; add documents"),
    ):
        with pytest.raises(AgreedError, match=told_of):
            check_fit("older", new, manifest, task)


def test_shards_without_rows_are_refused(make_tiny_plan: PlanMaker, tmp_path: Path, base_model: Path) -> None:
    rows = made_documents(20)
    for name, splits in {
        "untested": {"train": rows, "validation": [], "test": []},
        "untrained": {"train": [], "validation": [], "test": rows},
    }.items():
        build_shards(str(tmp_path / name), splits, labels=LABELS, tokenizer=base_model)
    plan = make_tiny_plan(replaying(tmp_path / "untested", 0.5))
    with pytest.raises(AgreedError, match="neither test nor validation rows"):
        open_older(plan, open_task(plan))
    plan = make_tiny_plan(replaying(tmp_path / "untrained", 0.5))
    with pytest.raises(AgreedError, match=r"no training rows.*set train.replay.share=0"):
        open_older(plan, open_task(plan))


def test_what_is_no_published_shards_is_refused_with_the_settings(
    make_tiny_plan: PlanMaker, older_shards: Path, tmp_path: Path
) -> None:
    plan = make_tiny_plan(shards=False)
    with pytest.raises(SettingsError, match=r"train.replay.shards: .*found no published.json"):
        make_plan(plan.config, [replaying(tmp_path / "nothing", 0.5)])
    with pytest.raises(SettingsError, match=r"found share 0.5 without shards; set replay.shards"):
        make_plan(plan.config, ["train.replay.share=0.5"])
    with pytest.raises(SettingsError, match=r"train.model: .*found published shards, expected a model"):
        make_plan(plan.config, [f"train.model={older_shards}"])
    with pytest.raises(SettingsError, match=r"ring.ranks: found 4, expected at most the 3 lanes of train.replay"):
        make_plan(plan.config, [replaying(older_shards, 0.5), "ring.ranks=4"])
    replayed = make_plan(plan.config, [replaying(older_shards, 0.5)])
    assert replayed.model != plan.model and replayed.shards == plan.shards
    older_shards.rename(tmp_path / "elsewhere")
    assert make_plan(plan.config, [replaying(tmp_path / "elsewhere", 0.5)]).model == replayed.model


def test_a_figure_without_a_value_has_no_change(older_shards: Path) -> None:
    older = OlderShards(str(older_shards), contract.read_manifest(str(older_shards)), "test")
    found = forgetting(older, {"rows": 8, "loss": 2.0}, {"rows": 8, "loss": 1.5, "perplexity": 4.5})
    assert found["change"] == {"loss": -0.5}
    assert told(found, {"loss": "loss", "perplexity": "perplexity"}) == (
        "; loss 2.000 -> 1.500 on 8 test rows of the older shards"
    )


def test_a_language_model_replays_documents_whatever_their_labels(
    make_tiny_plan: PlanMaker, tmp_path: Path, base_model: Path
) -> None:
    splits = split_of(made_documents(40, seed=9), 0.15)
    build_shards(str(tmp_path / "ugly"), splits, labels=["ugly", "bad"], tokenizer=base_model)
    training, cursor = prepare(make_tiny_plan("train.task=mlm", replaying(tmp_path / "ugly", 0.25)))
    assert cursor.older_before is not None and {"perplexity", "loss", "accuracy"} <= cursor.older_before.keys()
    assert training.stepper.step(0, next(training.reader.epoch(0))).rows == 20


def test_older_pairs_need_others_of_their_lane(make_tiny_plan: PlanMaker, older_shards: Path) -> None:
    plan, none = make_tiny_plan(replaying(older_shards, 0.25)), np.zeros(0, np.int32)
    older, task = open_older(plan, open_task(plan)), Embedding(PairForm(0, 0, 0, none, none), 4, 0.05)
    with pytest.raises(AgreedError, match=r"found 0.25, 3 older pairs a step from 3 lanes, .* at least 0.38"):
        open_reader(plan, older, task, SingleRing())


def test_sets_of_labels_are_renamed_and_stay_in_order() -> None:
    sets = [np.array([0, 2], np.int32), np.zeros(0, np.int32)]
    batch = made_batch(2, 4, 10, label_sets=sets)
    batch.label_ids = np.array([NO_LABEL, 1])
    renamed = rename_labels(batch, ids_by_name(["c", "b", "a"], ["a", "b", "new", "c"]))
    assert [labels.tolist() for labels in renamed.label_sets] == [[0, 3], []]
    assert renamed.label_ids.tolist() == [NO_LABEL, 1]
    assert renamed.label_sets[0].dtype == np.int32
    assert ids_by_name(["a", "b"], ["a", "b"]) is None
