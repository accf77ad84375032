"""Classification that is learned from a teacher, too."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import nn

from mapring import contract, storage
from mapring.base_model import teacher_directory
from mapring.plan import Plan
from mapring.settings.distillation import Distillation
from training.compression.classifier import OrderedClassifier, load_teacher
from training.objectives.distillation import distilled_loss
from training.padding import PaddedRows
from training.reader import Batch
from training.special_tokens import read_special_tokens
from training.tasks.classification import Classification
from training.tasks.interface import Piece, Task
from training.tasks.pairs import token_types

_TYPES = "teacher_token_types"  # among a piece's targets


@dataclass(frozen=True, kw_only=True)
class DistilledClassification(Classification):
    """A classification whose loss is a sum over all rows, with a label and without; evaluations know no teacher."""

    teacher: OrderedClassifier
    distillation: Distillation

    def targets(self, batch: Batch, padded: PaddedRows) -> dict[str, torch.Tensor]:
        """Also the token types of pairs as the teacher has them, where the student may have none."""
        types = token_types(batch, padded, self.teacher)
        own = {_TYPES: types["token_type_ids"]} if types else {}
        return {**super().targets(batch, padded), **own}

    def loss(self, model: nn.Module, piece: Piece) -> tuple[torch.Tensor, float]:
        """As `distilled_loss` has it; the teacher's pass is in the arithmetic of the student's."""
        teacher = self.teacher.teach(piece.inputs, piece.targets.get(_TYPES))
        student = model(**piece.inputs).logits.float()
        return distilled_loss(self.objective, self.distillation, student, teacher, piece.targets["labels"])


def distilled(task: Task, plan: Plan, device: torch.device) -> Task:
    """The task with the plan's teacher, on the student's device; itself where there is none. Every rank loads one.

    Raises:
        SettingsError: it is no classifier for the shards' labels and tokens.
    """
    settings = plan.settings.train.distillation
    if settings.teacher is None:
        return task
    assert isinstance(task, Classification)  # else settings were refused
    where = plan.shards_directory
    tokenizer = contract.read_manifest(where).details["tokenizer"]
    with tempfile.TemporaryDirectory() as cache:
        teacher = load_teacher(
            teacher_directory(settings.teacher),
            task.labels,
            read_special_tokens(storage.join(where, tokenizer["path"])),
            max_length=plan.settings.preprocess.max_length,
            cache=Path(cache),
        )
    teacher.to(device)
    own = {field.name: getattr(task, field.name) for field in fields(task)}
    return DistilledClassification(**own, teacher=teacher, distillation=settings)
