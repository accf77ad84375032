"""Trainings with a teacher: labels by name, the same steps on any number of ranks and after a stop, and refusals."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mapring.errors import SettingsError
from mapring.plan import Plan
from tests.training.conftest import LABELS, PlanMaker
from tests.training.running import fit, prepare, resumed_as_straight, weights
from tests.training.shards import Document, tiny_model
from tests.training.teachers import write_teacher
from tests.training.thread_ring import ThreadRing, run_ranks
from tests.training.tiny_plan import WORDS, made_documents
from training import preparation
from training.device import HOST
from training.model import state_tensors
from training.reader import NO_PAIR
from training.step import autocast
from training.tasks import open_task
from training.tasks.distillation import DistilledClassification, distilled
from training.tasks.made_rows import made_batch

SMALL = "train.model={architecture: bag_of_words, config: {embedding_size: 16, dropout: 0.3}}"


@pytest.fixture
def teacher(tmp_path: Path, base_model: Path) -> Path:
    return write_teacher(tmp_path / "teacher", base_model, LABELS[::-1])


def teaching(teacher: Path, *settings: str) -> str:
    return f"train.distillation={{teacher: {teacher}{''.join(', ' + setting for setting in settings)}}}"


def distilled_task(plan: Plan) -> DistilledClassification:
    task = distilled(open_task(plan), plan, HOST)
    assert isinstance(task, DistilledClassification)
    return task


def test_a_teacher_s_labels_are_matched_by_name(make_tiny_plan: PlanMaker, teacher: Path) -> None:
    from transformers import BertForSequenceClassification

    plan = make_tiny_plan(SMALL, teaching(teacher, "weight: 1.0", "temperature: 1.0"))
    task = distilled_task(plan)
    student = preparation.build_trainable(plan, task, 1).model.eval()
    (piece,) = task.pieces(made_batch(4, 6, 20), student, 0, 1000)
    stock = BertForSequenceClassification.from_pretrained(teacher).eval()
    with torch.no_grad():
        expected = stock(**piece.inputs).logits[:, [1, 0]].softmax(-1)
        answered = student(**piece.inputs).logits.log_softmax(-1)
        found, weight = task.loss(student, piece)
    assert (expected[:, 0] - expected[:, 1]).abs().min() > 1e-3  # another order would give another loss
    assert weight == 4
    assert float(found) == pytest.approx(float(functional.kl_div(answered, expected, reduction="sum")), rel=1e-4)


def test_a_teacher_tells_the_texts_of_a_pair_apart_where_its_student_cannot(
    make_tiny_plan: PlanMaker, teacher: Path
) -> None:
    task = distilled_task(make_tiny_plan(SMALL, teaching(teacher)))
    student = preparation.build_trainable(make_tiny_plan(SMALL), task, 1).model
    for starts in ([3, 2], [NO_PAIR, NO_PAIR]):
        batch = made_batch(2, 5, 20, second_starts=np.array(starts))
        (piece,) = task.pieces(batch, student, 0, 1000)
        assert "token_type_ids" not in piece.inputs
        types = torch.tensor([[place >= start != NO_PAIR for place in range(5)] for start in starts]).long()
        with torch.no_grad():
            expected = task.teacher.model(**piece.inputs, token_type_ids=types).logits[:, [1, 0]]
        taught = task.teacher.teach(piece.inputs, piece.targets.get("teacher_token_types"))
        torch.testing.assert_close(taught, expected)


def test_a_teacher_is_part_of_no_state_and_stays_as_it_is(make_tiny_plan: PlanMaker, teacher: Path) -> None:
    training, _ = fit(make_tiny_plan(SMALL, teaching(teacher)))
    assert isinstance(training.task, DistilledClassification)
    taught = training.task.teacher
    fresh = distilled_task(training.plan).teacher
    assert set(state_tensors(training.model)) == {"embedding.weight", "classifier.weight", "classifier.bias"}
    assert not taught.model.training
    for name, parameter in taught.named_parameters():
        assert not parameter.requires_grad and parameter.grad is None
        assert torch.equal(parameter, fresh.get_parameter(name))


def test_a_teacher_answers_in_bf16_and_gradients_reach_the_student(make_tiny_plan: PlanMaker, teacher: Path) -> None:
    plan = make_tiny_plan(teaching(teacher, "weight: 1.0"))
    task = distilled_task(plan)
    student = preparation.build_trainable(plan, task, 1).model
    (piece,) = task.pieces(made_batch(4, 6, 20), student, 0, 1000)
    with autocast("bf16", HOST):
        rounded = task.teacher.teach(piece.inputs, None)
        loss, _ = task.loss(student, piece)
    loss.backward()  # type: ignore[no-untyped-call]
    assert rounded.dtype == torch.float32 and not torch.equal(rounded, task.teacher.teach(piece.inputs, None))
    assert all(item.grad is not None and item.grad.abs().sum() > 0 for item in student.classifier.parameters())  # type: ignore[union-attr]


def test_a_distilled_training_resumes_bit_for_bit(make_tiny_plan: PlanMaker, teacher: Path) -> None:
    words = (SMALL, teaching(teacher, "weight: 0.7"), "train.objective={label_smoothing: 0.1}")
    resumed, _ = resumed_as_straight(make_tiny_plan, *words)
    untaught, _ = fit(make_tiny_plan(SMALL, "train.objective={label_smoothing: 0.1}"))
    assert not torch.equal(weights(untaught)["classifier.weight"], weights(resumed)["classifier.weight"])


def test_two_ranks_take_the_steps_of_one_with_rows_that_have_no_label(
    make_tiny_plan: PlanMaker, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [
        Document(item.text, None if number % 3 else item.label_id) for number, item in enumerate(made_documents(330))
    ]
    words = (
        "train.model={architecture: bag_of_words, config: {embedding_size: 16, dropout: 0.0}}",
        "train.learning_rate=1e-3",
        "train.objective={class_weights: balanced}",
        teaching(teacher),
    )
    training, _ = fit(make_tiny_plan(*words, f"run_dir={tmp_path}/one", documents=documents))
    plan = make_tiny_plan(*words, f"run_dir={tmp_path}/two", documents=documents)
    taught = distilled_task(plan)  # threads share what transformers changes while it loads: load once, not in each
    built = preparation.build_trainable(plan, taught, 15)
    monkeypatch.setattr(preparation, "build_trainable", lambda *_: copy.deepcopy(built))
    monkeypatch.setattr(preparation, "distilled", lambda task, *_: replace(taught, objective=task.objective))

    def work(ring: ThreadRing) -> dict[str, torch.Tensor]:
        torch.set_num_threads(1)
        return weights(fit(plan, ring)[0])

    ranks = run_ranks(2, work)
    for name, tensor in weights(training).items():
        torch.testing.assert_close(ranks[0][name], tensor, rtol=0, atol=1e-5)
        assert torch.equal(ranks[0][name], ranks[1][name])


def test_a_model_s_fingerprint_hangs_on_its_teacher_s_content_alone(
    make_tiny_plan: PlanMaker, teacher: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(teacher, tmp_path / "moved")
    found = make_tiny_plan(teaching(teacher), shards=False).model
    assert make_tiny_plan(teaching(moved), shards=False).model == found
    assert make_tiny_plan(f"train.distillation={moved}", shards=False).model == found
    assert make_tiny_plan(teaching(teacher, "temperature: 3.0"), shards=False).model != found
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "more": 1}))
    assert make_tiny_plan(teaching(moved), shards=False).model not in (found, make_tiny_plan(shards=False).model)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train.task=mlm"], "distillation.teacher: found it with task=mlm, expected task=classify"),
        (["train.objective={mixup: 0.2}"], "distillation.teacher: found it with objective.mixup"),
        (["train.distillation.teacher=null", "train.distillation.weight=0.3"], "found weight without teacher"),
        (["train.distillation.teacher=nowhere"], "train.distillation.teacher: found no config.json in 'nowhere'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    make_tiny_plan: PlanMaker, teacher: Path, words: list[str], told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        make_tiny_plan(f"train.distillation.teacher={teacher}", *words, shards=False)


def test_teachers_that_cannot_teach_are_refused(
    make_tiny_plan: PlanMaker, tmp_path: Path, base_model: Path, teacher: Path
) -> None:
    strange = tiny_model(tmp_path / "strange", [*WORDS[1:], WORDS[0]])
    others = {
        "other labels": (
            write_teacher(tmp_path / "labels", base_model, ["good", "grim"]),
            "labels good, grim, expected",
        ),
        "no head": (base_model, "found no weights of classifier, expected a trained classifier"),
        "another tokenizer": (
            write_teacher(tmp_path / "words", strange, LABELS),
            "found 'good' with id 5, but for train.distillation.teacher that is 'fine'",
        ),
    }
    for directory, told in others.values():
        with pytest.raises(SettingsError, match=told):
            prepare(make_tiny_plan(SMALL, teaching(directory)))
    config = json.loads((teacher / "config.json").read_text())
    (teacher / "config.json").write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    with pytest.raises(SettingsError, match="found a model of multi_label_classification"):
        prepare(make_tiny_plan(SMALL, teaching(teacher)))


def test_a_teacher_for_shorter_texts_is_refused(make_tiny_plan: PlanMaker, teacher: Path) -> None:
    with pytest.raises(SettingsError, match="it cannot take 100 tokens"):
        prepare(make_tiny_plan(SMALL, teaching(teacher), "preprocess.max_length=100"))


def test_a_decoder_reads_the_end_of_a_student_s_rows(make_tiny_plan: PlanMaker, teacher: Path) -> None:
    """Its padding token may be another; what it answers must hang on the row alone."""
    task = distilled_task(make_tiny_plan(SMALL, teaching(teacher)))
    own: nn.Module = task.teacher
    task.teacher.config.pad_token_id = 7
    ids = torch.tensor([[5, 6, 0, 0], [8, 9, 10, 11]])
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    given: list[torch.Tensor] = []
    own.register_forward_pre_hook(lambda _module, _args, kwargs: given.append(kwargs["input_ids"]), with_kwargs=True)
    task.teacher.teach({"input_ids": ids, "attention_mask": mask}, None)
    assert given[0].tolist() == [[5, 6, 7, 7], [8, 9, 10, 11]]
