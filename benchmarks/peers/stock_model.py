"""A classifier as its users load it from a transformers directory: texts in, labels out; runs in every venv."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

BATCH = 32


class StockModel:
    """Model and fast tokenizer in one process, in fp32, with one thread unless told otherwise."""

    def __init__(self, directory: str, max_length: int, threads: int = 1) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # there is a process for each core
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(threads)
        self.max_length = max_length
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        self.model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()
        names = self.model.config.id2label
        self.labels = np.array([names[number] for number in range(len(names))], dtype=object)

    def predict(self, texts: Sequence[str], padding: str = "longest") -> dict[str, Any]:
        """Columns label (N,), score (N,) and probabilities (N, C) of one batch, padded to its longest text or to
        `max_length`.
        """
        import torch

        with torch.inference_mode():
            inputs = self.tokenizer(
                list(texts), padding=padding, truncation=True, max_length=self.max_length, return_tensors="pt"
            )
            found = self.model(**inputs).logits.softmax(-1).numpy()
        best = found.argmax(1)
        return {
            "label": self.labels[best],
            "score": found[np.arange(len(found)), best].astype(np.float64),
            "probabilities": found,
        }


@lru_cache(maxsize=1)
def text_pipeline(directory: str, max_length: int, threads: int = 1) -> Any:
    """The pipeline of a process, loaded at the first call."""
    from transformers import pipeline

    stock = StockModel(directory, max_length, threads)
    return pipeline("text-classification", model=stock.model, tokenizer=stock.tokenizer, device=-1)
