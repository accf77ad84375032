"""Tiny trained classifiers, made without training: random weights that tell labels apart by more than rounding."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch


def write_teacher(folder: Path, base_model: Path, labels: Sequence[str], *, layers: int = 4) -> Path:
    """A transformers directory of a BERT classifier with labels in this order, and the tokenizer of `base_model`."""
    from transformers import AutoConfig, BertForSequenceClassification

    config = AutoConfig.from_pretrained(
        base_model,
        num_hidden_layers=layers,
        initializer_range=0.4,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    torch.manual_seed(8)
    BertForSequenceClassification(config).save_pretrained(folder)
    for file in base_model.glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder
