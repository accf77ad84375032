"""Tasks: what a row of the shards is, what a model learns from it, and how good it is at that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mapring import contract, storage
from mapring.plan import Plan
from mapring.settings.learnable import LABEL_KINDS
from training.objectives import ClassificationObjective, balanced_weights
from training.ring import Ring
from training.ring.interface import AgreedError
from training.ring.single import SingleRing
from training.special_tokens import SpecialTokens, read_special_tokens
from training.targets import target_scale
from training.tasks.classification import Classification
from training.tasks.embedding import Embedding
from training.tasks.interface import Piece, Task
from training.tasks.language_model import CausalLanguageModel, MaskedLanguageModel
from training.tasks.masking import Masking
from training.tasks.multilabel import Multilabel
from training.tasks.pairs import read_pair_form
from training.tasks.regression import Regression

__all__ = ["Piece", "Task", "open_task", "weigh_classes"]


def open_task(plan: Plan, ring: Ring | None = None) -> Task:
    """The task of a plan, made for its shards; every rank of the ring opens it, or one process alone.

    Raises:
        AgreedError: there are no such shards, or nothing that this task could learn from.
    """
    where = plan.shards_directory
    if not contract.is_published(where):
        raise AgreedError(f"{where}: found no published shards; run `mapring preprocess {plan.config}` first")
    details = contract.read_manifest(where).details
    if details["tokenizer"] is None:
        raise AgreedError(f"{where}: found texts without tokens, expected tokenized ones; set preprocess.tokenizer")
    name, tokenizer = plan.settings.train.task, storage.join(where, details["tokenizer"]["path"])
    if name == "clm":
        return CausalLanguageModel()
    if name == "mlm":
        return MaskedLanguageModel(_masking(plan, read_special_tokens(tokenizer)))
    if details.get("packing") is not None:
        expected = "one pair" if name == "embed" else "one labelled document"
        raise AgreedError(
            f"{where}: found packed sequences, expected {expected} a row; set preprocess.packing=none, or "
            "train.task=mlm or clm"
        )
    if name == "embed":
        _check_pairs(where, details)
        group_rows = plan.settings.train.global_batch // int(details["lanes"])
        return Embedding(read_pair_form(tokenizer), group_rows, plan.settings.train.temperature)
    _check_label_kind(where, details, name)
    if name == "classify":
        labels = _labels(where, details, 2)
        settings = plan.settings.train.objective
        objective = ClassificationObjective(settings, classes=len(labels) if settings.contrast else None)
        return Classification(labels, plan.settings.seed, objective)
    if name == "multilabel":
        return Multilabel(_labels(where, details, 1), plan.settings.seed)
    return _regression(where, ring or SingleRing())


def _check_label_kind(where: str, details: Mapping[str, Any], name: str) -> None:
    found, expected = details.get("label_kind", "one"), LABEL_KINDS[name]
    if found != expected:
        other = next(task for task, kind in LABEL_KINDS.items() if kind == found)
        raise AgreedError(
            f"{where}: found preprocess.labels={found}, expected {expected} for train.task={name}; set "
            f"preprocess.labels={expected}, or train.task={other}"
        )


def _check_pairs(where: str, details: Mapping[str, Any]) -> None:
    if not details.get("pairs", False):
        raise AgreedError(
            f"{where}: found single texts, expected pairs for train.task=embed; set second_text_column of "
            "preprocess.inputs"
        )
    if details["labels"] or details.get("label_kind", "one") == "number":
        raise AgreedError(
            f"{where}: found labelled pairs, expected pairs that all belong together for train.task=embed, which looks "
            "at no label; remove label_column of preprocess.inputs and the pairs that do not belong together"
        )


def weigh_classes(task: Task, rows: Sequence[float]) -> Task:
    """The task with classes weighed by the `rows` of an epoch that each has; only classification has any."""
    if not isinstance(task, Classification):
        return task
    return replace(task, objective=task.objective.weighing(balanced_weights(rows)))


def _labels(where: str, details: Mapping[str, Any], least: int) -> list[str]:
    labels = [str(label) for label in details["labels"]]
    if len(labels) < least:
        raise AgreedError(
            f"{where}: found {len(labels)} labels, expected at least {least}; set label_column of preprocess.inputs, "
            "or train.task=mlm or clm"
        )
    return labels


def _regression(where: str, ring: Ring) -> Regression:
    scale = target_scale(ring, where)
    if not scale.rows:
        raise AgreedError(
            f"{where}: found no training row with a number, expected some; set label_column of preprocess.inputs"
        )
    return Regression(scale)


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
