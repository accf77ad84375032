"""Tasks: what a row of the shards is, what a model learns from it, and how good it is at that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mapring import contract, storage
from mapring.plan import Plan
from training.objectives import ClassificationObjective, balanced_weights
from training.ring.interface import AgreedError
from training.special_tokens import SpecialTokens, read_special_tokens
from training.tasks.classification import Classification
from training.tasks.interface import Piece, Task
from training.tasks.language_model import CausalLanguageModel, MaskedLanguageModel
from training.tasks.masking import Masking

__all__ = ["Piece", "Task", "open_task", "weigh_classes"]


def open_task(plan: Plan) -> Task:
    """The task of a plan, made for its shards.

    Raises:
        AgreedError: there are no such shards, or nothing that this task could learn from.
    """
    where = plan.shards_directory
    if not contract.is_published(where):
        raise AgreedError(f"{where}: found no published shards; run `mapring preprocess {plan.config}` first")
    details = contract.read_manifest(where).details
    if details["tokenizer"] is None:
        raise AgreedError(f"{where}: found texts without tokens, expected tokenized ones; set preprocess.tokenizer")
    name = plan.settings.train.task
    if name == "classify":
        objective = ClassificationObjective(plan.settings.train.objective)
        return Classification(_labels(where, details), plan.settings.seed, objective)
    if name == "clm":
        return CausalLanguageModel()
    return MaskedLanguageModel(_masking(plan, read_special_tokens(storage.join(where, details["tokenizer"]["path"]))))


def weigh_classes(task: Task, rows: Sequence[int]) -> Task:
    """The task with classes weighed by the `rows` of the training split that each has; only classification has any."""
    if not isinstance(task, Classification):
        return task
    return replace(task, objective=task.objective.weighing(balanced_weights(rows)))


def _labels(where: str, details: Mapping[str, Any]) -> list[str]:
    if details.get("packing") is not None:
        raise AgreedError(
            f"{where}: found packed sequences, expected one labelled document a row; set preprocess.packing=none, or "
            "train.task=mlm or clm"
        )
    labels = [str(label) for label in details["labels"]]
    if len(labels) < 2:
        raise AgreedError(
            f"{where}: found {len(labels)} labels, expected at least 2; set label_column of preprocess.inputs, or "
            "train.task=mlm or clm"
        )
    return labels


def _masking(plan: Plan, tokens: SpecialTokens) -> Masking:
    if tokens.mask is None:
        raise AgreedError(
            f"{plan.shards_directory}: found a tokenizer without a mask token, which train.task=mlm needs; take one "
            "that has [MASK] or <mask>, or train.task=clm"
        )
    return Masking(
        share=plan.settings.train.mask_share,
        mask_id=tokens.mask,
        special_ids=tokens.all_ids,
        vocabulary=tokens.vocabulary_size,
        seed=plan.settings.seed,
    )
