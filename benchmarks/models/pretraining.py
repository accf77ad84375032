"""A language model from random weights, and what a classifier gains by starting from it.

Real prose: doc strings of two clouds (`benchmarks.corpus`) and the demo's sentences without their labels. Documents
are split by their content, so no sentence of the classifier's test split is in the language model's training split.
"""

from __future__ import annotations

import statistics
from typing import Any

import yaml

from benchmarks.corpus import doc_strings
from benchmarks.models.trained import DOMAINS, Trained, trained, write_config
from benchmarks.results import Figure, figure
from benchmarks.sentences import ROOT, sentences

# Rotary positions: with BERT's learned ones the loss stood at that of word frequencies (6.0) for the first 640 steps.
_SIZES = {
    "hidden_size": 256,
    "embedding_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_MODEL = {"architecture": "roformer", "config": _SIZES}
_DOC_FILES = 2  # of nine, 25,000 doc strings each
_WEIGHT = 4  # of a sentence of the domains beside a doc string; with 1, and two epochs, 0.5 points were gained
_ENDS = 20  # steps that the loss at the start and at the end is the mean of


def pretraining_figures() -> list[Figure]:
    """How far the loss falls, and accuracies of the same classifier with and without."""
    language_model, scratch, pretrained = pretraining()
    losses = [loss for _, loss in language_model.noted["curve"]]
    start, end = statistics.fmean(losses[:_ENDS]), statistics.fmean(losses[-_ENDS:])
    gain = pretrained.accuracy - scratch.accuracy
    perplexity = float(language_model.test["perplexity"])
    words = float(language_model.details["evaluation"]["baselines"]["unigram"]["perplexity"])
    return [
        figure("mlm_loss_ratio_end_to_start", end / start, 0.6, "ratio", better="lower"),
        figure("mlm_test_perplexity", perplexity, words, "1", better="lower", peer="frequencies of tokens"),
        figure("pretrained_minus_scratch_accuracy", gain, 0.01, "share", peer="the same model from random weights"),
    ]


def pretraining() -> tuple[Trained, Trained, Trained]:
    """The language model, the classifier from random weights, and the one that goes on from the language model."""
    language_model = trained("mlm", write_config("mlm", _language_model()))
    start = language_model.stock_directory
    same = [f"preprocess.tokenizer={start}", "train.freeze_embeddings=false"]
    same += ["train.learning_rate=0.0003"]  # one epoch, as the demo; after two the gain is the same
    config = sentences("models", DOMAINS, test=0.15).config
    fresh = _as_text(_MODEL)
    return (
        language_model,
        trained("scratch", config, [*same, f"train.model={fresh}"]),
        trained("pretrained", config, [*same, f"train.model={start}"]),
    )


def _as_text(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()


def _language_model() -> dict[str, Any]:
    demo = yaml.safe_load((ROOT / "conf/demo.yaml").read_text())
    unlabelled = [
        {
            **{key: value for key, value in entry.items() if key != "label_column"},
            "path": str(ROOT / entry["path"]),
            "weight": _WEIGHT,
        }
        for entry in demo["preprocess"]["inputs"]
    ]
    files = sorted(doc_strings().glob("*.jsonl"))[:_DOC_FILES]
    prose = [
        {"name": f"docs-{number}", "path": str(path), "format": "jsonl", "id_column": "id"}
        for number, path in enumerate(files)
    ]
    return {
        "seed": demo["seed"],
        "preprocess": {
            **demo["preprocess"],
            "inputs": [*unlabelled, *prose],
            "tokenizer": {"train": "wordpiece", "vocabulary_size": 8000},
            "max_length": 64,
            "splits": {"validation": 0.0, "test": 0.15},
            "duplicates": {"near": {"enabled": True}},
        },
        "train": {
            "task": "mlm",
            "model": _MODEL,
            "epochs": 4,
            "global_batch": 64,
            "learning_rate": 2.0e-3,
            "mask_share": 0.2,
            "precision": "auto",
            "checkpoint_every_steps": 400,
        },
        "spark": demo["spark"],
    }
