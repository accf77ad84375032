"""A stock transformers directory in torch: fp32, or weights and arithmetic in bf16; on the CPU or a task's GPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spark_jobs.backends.interface import Ids
from spark_jobs.backends.output_layer import beside, output_layer


class TorchBackend:
    """A classifier that transformers loads.

    Args:
        directory: of the model's configuration and weights.
        threads: of torch, for the whole process.
        dtype: of weights and activations.
        device: `cpu`, or `cuda:N` where Spark gave the task a GPU.
        vectors: whether to give, behind the logits, what the output layer reads, at length 1.
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
        self._read: list[Any] | None = [] if vectors else None
        if self._read is not None:
            read = self._read
            output_layer(self._model).register_forward_pre_hook(lambda _layer, given: read.append(given[0]))

    def logits(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids | None = None) -> npt.NDArray[np.float32]:
        """Logits (B, C), or with the vectors (B, C + H)."""
        import torch

        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None and has_token_types(self._model):
            given["token_type_ids"] = token_type_ids
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(values).to(self._device) for name, values in given.items()}
            found: npt.NDArray[np.float32] = self._model(**tensors).logits.float().cpu().numpy()
        if self._read is None:
            return found
        read = self._read.pop()
        self._read.clear()  # of a pass that failed
        return beside(found, read.float().cpu().numpy())


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
