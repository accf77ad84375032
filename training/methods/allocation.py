"""AdaLoRA's distribution of ranks over the layers (Zhang et al. 2023), as state that a checkpoint can hold."""

from __future__ import annotations

from typing import Any

import torch

_SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class Allocation:
    """The importance that peft's allocator keeps of every added weight, and which ranks it has kept.

    peft creates these in its first step and forgets them with the process; a resumed training needs them.

    Args:
        model: with peft's AdaLoRA in it.
    """

    def __init__(self, model: Any) -> None:
        self._adapted = model.base_model
        self._config = next(iter(self._adapted.peft_config.values()))
        self._names = {name: item for name, item in self._adapted.model.named_parameters() if "lora_" in name}
        self._kept = {
            name: torch.ones(item.numel(), dtype=torch.uint8) for name, item in self._names.items() if "lora_E" in name
        }
        self._start_scores()

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of the state by name; the tensors themselves, not copies."""
        scores = {f"allocation.{kind}.{name}": item for kind in _SCORES for name, item in self._score(kind).items()}
        return {**scores, **{f"allocation.kept.{name}": item for name, item in self._kept.items()}}

    def after_step(self, step: int) -> None:
        """Score the weights by the step's gradients, and silence the ranks that its budget leaves out."""
        pattern = {name: item.bool().tolist() for name, item in self._kept.items()}
        self._config.rank_pattern = pattern
        self._adapted.update_and_allocate(step)
        for name, kept in self._config.rank_pattern.items():
            self._kept[name].copy_(torch.tensor(kept, dtype=torch.uint8))
        if not self._score("ipt"):  # the allocator is done with them
            self._start_scores()

    def _score(self, kind: str) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = getattr(self._adapted.rankallocator, kind)
        return found

    def _start_scores(self) -> None:
        for kind in _SCORES:
            zeros = {name: torch.zeros_like(item, requires_grad=False) for name, item in self._names.items()}
            setattr(self._adapted.rankallocator, kind, zeros)
