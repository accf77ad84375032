"""A stock transformers directory in torch: fp32, or weights and arithmetic in bf16; on the CPU or a task's GPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spark_jobs.backends.inner_block import InnerMeans
from spark_jobs.backends.interface import Ids
from spark_jobs.backends.output_layer import output_layer
from spark_jobs.backends.text_vectors import beside


class TorchBackend:
    """A classifier that transformers loads.

    Args:
        directory: of the model's configuration and weights.
        threads: of torch, for the whole process.
        dtype: of weights and activations.
        device: `cpu`, or `cuda:N` where Spark gave the task a GPU.
        vectors: whether to give the vectors of the texts behind the logits, see text_vectors.py.
    """

    def __init__(
        self,
        directory: Path,
        threads: int,
        *,
        dtype: Literal["float32", "bfloat16"] = "float32",
        device: str = "cpu",
        vectors: bool = False,
    ) -> None:
        self._model = load_transformer("AutoModelForSequenceClassification", directory, threads, dtype).to(device)
        self._device = device
        self.padding_id = int(self._model.config.pad_token_id or 0)
        self._read: list[Any] = []
        self._inner = InnerMeans(self._model) if vectors else None
        if vectors:
            output_layer(self._model).register_forward_pre_hook(lambda _layer, given: self._read.append(given[0]))

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> npt.NDArray[np.float32]:
        """Logits (B, C), and behind them the vectors where they are asked for."""
        import torch

        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None and has_token_types(self._model):
            given["token_type_ids"] = token_type_ids
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(values).to(self._device) for name, values in given.items()}
            found: npt.NDArray[np.float32] = self._model(**tensors).logits.float().cpu().numpy()
            if self._inner is None:
                return found
            read, inner = self._read.pop(), self._inner.means(tensors["attention_mask"])
        self._read.clear()  # of a pass that failed
        return beside(found, _array(read), None if inner is None else _array(inner))


def _array(values: Any) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = values.float().cpu().numpy()
    return found


def load_transformer(
    auto_class: str, directory: Path, threads: int, dtype: Literal["float32", "bfloat16"] = "float32"
) -> Any:
    """A stock transformers directory, by the class of transformers that loads it, on `threads` threads."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # a missing file must fail, not reach for a hub
    import torch
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    auto = getattr(transformers, auto_class)
    return auto.from_pretrained(directory, local_files_only=True, dtype=getattr(torch, dtype)).eval()


def has_token_types(model: Any) -> bool:
    """Whether a model of transformers tells the two texts of a pair apart."""
    return int(getattr(model.config, "type_vocab_size", 0) or 0) > 1
