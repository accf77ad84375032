"""An output layer that gives numbers in the unit of the targets, whatever that is.

A new layer gives numbers around 0 of about 1. To reach a mean of 1,000 it would have to learn for long, and a deviation
of 0.001 would be lost in its noise. So while it is trained, its numbers are multiplied by a scale and shifted; behind
the training this goes into its weights, and the layer is what it was before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mapring.errors import SettingsError
from training.output_layer import output_layer
from training.targets import TargetScale


class RawScaleLinear(nn.Linear):
    """A linear layer (..., features) to (..., 1) whose output is multiplied and shifted; it shares its weights."""

    def __init__(self, layer: nn.Linear, scale: float, shift: float) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.scale, self.shift = scale, shift

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Fp32, also where the layer itself computes in bf16."""
        return super().forward(input).float() * self.scale + self.shift

    def unfold(self) -> None:
        """Take scale and shift out of the weights: the outputs are what they are with the weights alone."""
        with torch.no_grad():
            self.weight.div_(self.scale)
            if self.bias is not None:
                self.bias.sub_(self.shift).div_(self.scale)

    def fold(self) -> None:
        """Bring scale and shift into the weights; the outputs stay the same."""
        with torch.no_grad():
            self.weight.mul_(self.scale)
            if self.bias is not None:
                self.bias.mul_(self.scale).add_(self.shift)
        self.scale, self.shift = 1.0, 0.0


def use_raw_scale(model: nn.Module, scale: TargetScale) -> None:
    """Let the model's output layer, the last one with one output, give numbers in the unit of the targets.

    A layer without a bias, as decoders have, cannot hold a shift: its numbers are multiplied by the root mean square
    of the targets alone.

    Raises:
        SettingsError: the model has no such layer.
    """
    found = output_layer(model, 1)
    if found is None:
        raise SettingsError(
            f"train.model: found no linear layer with one output in a {type(model).__name__}, which task=regression "
            "needs; take another architecture"
        )
    parent, _, name = found.rpartition(".")
    layer = model.get_submodule(found)
    assert isinstance(layer, nn.Linear)
    values = (scale.root_mean_square or 1.0, 0.0) if layer.bias is None else (scale.deviation, scale.mean)
    setattr(model.get_submodule(parent), name, RawScaleLinear(layer, *values))


def keep_trained_numbers(model: nn.Module, fresh: Sequence[str]) -> None:
    """Let an output layer that a pretrained model brought give the numbers that it gave there.

    Args:
        model: behind `use_raw_scale`.
        fresh: names of the modules that the pretrained model did not bring.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, RawScaleLinear) and name not in fresh:
            layer.unfold()


def fold_raw_scale(model: nn.Module) -> None:
    """Make the output layers of a trained model plain again, with the same outputs."""
    for module in list(model.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, RawScaleLinear):
                layer.fold()
                plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
                plain.weight, plain.bias = layer.weight, layer.bias
                setattr(module, name, plain)
