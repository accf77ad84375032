"""A trained classifier as it stands in a directory, whose answers are brought into the order of given labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from mapring.errors import SettingsError, in_one_line
from mapring.settings.train import ModelSource
from training.model import check_vocabulary, config_of, load_pretrained, set_padding
from training.own_configs import Output
from training.special_tokens import SpecialTokens

TEACHER = "train.distillation.teacher"


class OrderedClassifier(nn.Module):
    """A classifier that is not trained any more; its logits are in the order of `labels`, matched by name.

    Raises:
        SettingsError: its labels are others; the message is to stand behind a key.
    """

    order: torch.Tensor

    def __init__(self, model: nn.Module, labels: Sequence[str]) -> None:
        super().__init__()
        own = labels_of(model)
        if sorted(own) != sorted(labels):
            raise SettingsError(
                f"found a classifier with the labels {_told(own)}, expected those of the shards, {_told(labels)}; give "
                "one that was trained on these labels"
            )
        self.config = config_of(model)
        self.model = model.requires_grad_(False).eval()
        self.register_buffer("order", torch.tensor([own.index(label) for label in labels]), persistent=False)

    def forward(self, **inputs: torch.Tensor) -> Output:
        """The model's keyword arguments to logits (B, C)."""
        return Output(self.model(**inputs).logits[:, self.order])

    @torch.no_grad()
    def teach(self, inputs: Mapping[str, torch.Tensor], token_types: torch.Tensor | None) -> torch.Tensor:
        """Logits (B, C) in fp32 for what a student reads, padded as this model does; constants to later gradients.

        Args:
            inputs: `input_ids` and `attention_mask` of the student, (B, T).
            token_types: as this model has them, (B, T); None where it has none.
        """
        mask = inputs["attention_mask"]
        ids = inputs["input_ids"].masked_fill(mask == 0, self.config.pad_token_id)
        types = {} if token_types is None else {"token_type_ids": token_types}
        logits: torch.Tensor = self(input_ids=ids, attention_mask=mask, **types).logits
        return logits.float()


def labels_of(model: nn.Module) -> list[str]:
    """Names of a classifier's labels, in the order of its logits."""
    return [str(name) for _, name in sorted(config_of(model).id2label.items())]


def load_teacher(
    directory: str, labels: Sequence[str], tokens: SpecialTokens, *, max_length: int, cache: Path
) -> OrderedClassifier:
    """The teacher of a training, tried once at full length.

    Args:
        directory: transformers directory of a classifier.
        labels: of the shards, in their order.
        tokens: of the shards' tokenizer, which must be the teacher's.
        max_length: longest sequence in tokens that it will see.
        cache: where the files of a remote directory are copied to.

    Raises:
        SettingsError: there is no trained classifier for these labels and tokens, or it takes only shorter sequences.
    """
    model, fresh = load_pretrained("AutoModelForSequenceClassification", directory, {}, cache, TEACHER)
    if fresh:
        raise SettingsError(
            f"{TEACHER}: {directory}: found no weights of {', '.join(fresh)}, expected a trained classifier; give one "
            "that was trained on these labels"
        )
    kind = getattr(config_of(model), "problem_type", None)
    if kind not in (None, "single_label_classification"):
        raise SettingsError(f"{TEACHER}: {directory}: found a model of {kind}, expected one label a document")
    check_vocabulary(model, ModelSource(directory=directory), tokens.vocabulary, TEACHER)
    set_padding(model, tokens)
    try:
        teacher = OrderedClassifier(model, labels)
    except SettingsError as error:
        raise SettingsError(f"{TEACHER}: {directory}: {error}") from None
    _try(teacher, max_length)
    return teacher


def _try(teacher: OrderedClassifier, max_length: int) -> None:
    ones = torch.ones(1, max_length, dtype=torch.int64)
    ids = ones * int(teacher.config.pad_token_id == 0)  # RoBERTa and its like count no positions of padding
    try:
        teacher.teach({"input_ids": ids, "attention_mask": ones}, None)
    except (IndexError, RuntimeError, ValueError) as error:
        reason = in_one_line(error)
        raise SettingsError(
            f"{TEACHER}: it cannot take {max_length} tokens ({reason}); lower preprocess.max_length"
        ) from None


def _told(labels: Sequence[str]) -> str:
    return ", ".join(sorted(labels)[:5]) + ", ..." * (len(labels) > 5)
