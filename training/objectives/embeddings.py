"""A forward pass whose input embeddings are mixed or moved on the way.

The embeddings are what the model's own table of tokens gives, before positions are added: changed by a hook, so
nothing of the model need be known, the table may be frozen, and other methods may have changed the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from mapring.errors import SettingsError
from training.objectives.contrast import Views, output_layer_inputs, views_of

_SMALLEST_NORM = 1e-30  # of a gradient; a row without a label has none, and is not moved


class Mixture(NamedTuple):
    """Each row's `partner`, int64 (B,), and the `share` of the row itself, float32 (B,); the rest is the partner's."""

    partner: torch.Tensor
    share: torch.Tensor


class Pass(NamedTuple):
    """Logits in fp32, (B, C), the embeddings that led to them, (B, T, H), and the views; None if not asked for."""

    logits: torch.Tensor
    embeddings: torch.Tensor | None = None
    views: Views | None = None


def draw_mixture(rows: int, alpha: float, device: torch.device) -> Mixture:
    """Pair rows at random, and draw each pair's share from Beta(alpha, alpha) (Zhang et al. 2018; Guo et al. 2019).

    From torch's random state, which the trainer seeds by (seed, step, rank) as it does for dropout; drawn on
    the host, so alike on any device.
    """
    share = torch.distributions.Beta(alpha, alpha).sample((rows,))
    return Mixture(torch.randperm(rows).to(device), share.to(device))


def run_pass(
    model: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    *,
    mixture: Mixture | None = None,
    shift: torch.Tensor | None = None,
    keep_embeddings: bool = False,
    view_classes: int | None = None,
) -> Pass:
    """One forward pass.

    Args:
        model: a transformers model, with or without what a method has added.
        inputs: its keyword arguments, with `input_ids` and `attention_mask` of shape (B, T).
        mixture: which rows' embeddings are mixed; a row then has the tokens of both, and padding adds nothing.
        shift: added to the embeddings behind that, (B, T, H).
        keep_embeddings: also return the embeddings, and let gradients reach them where their table is frozen.
        view_classes: also return the views of a classifier with so many classes.

    Raises:
        SettingsError: the model has no table of token embeddings that its passes go through, or no views.
    """
    if mixture is None and shift is None and not keep_embeddings:
        return _plain_pass(model, inputs, view_classes)
    mask = inputs["attention_mask"]
    found: list[torch.Tensor] = []

    def change(_module: nn.Module, _arguments: Any, embeddings: torch.Tensor) -> torch.Tensor:
        if mixture is not None:
            embeddings = _mixed(embeddings * mask[:, :, None], mixture)
        if shift is not None:
            embeddings = embeddings + shift
        if keep_embeddings and not embeddings.requires_grad:
            embeddings = embeddings.detach().requires_grad_()
        found.append(embeddings)
        return embeddings

    if mixture is not None:
        inputs = {**inputs, "attention_mask": torch.maximum(mask, mask[mixture.partner])}
    handle = _table(model).register_forward_hook(change)
    try:
        passed = _plain_pass(model, inputs, view_classes)
    finally:
        handle.remove()
    if len(found) != 1:
        raise SettingsError(
            f"train.objective: found {len(found)} look-ups of token embeddings in a pass of this model, expected 1, "
            "which fgm and mixup change; set both to 0"
        )
    return passed._replace(embeddings=found[0]) if keep_embeddings else passed


def _plain_pass(model: nn.Module, inputs: Mapping[str, torch.Tensor], view_classes: int | None) -> Pass:
    if view_classes is None:
        return Pass(model(**inputs).logits.float())
    with output_layer_inputs(model, view_classes) as read:
        output = model(**inputs, output_hidden_states=True)
    return Pass(output.logits.float(), views=views_of(read, output.hidden_states[-1], inputs["attention_mask"]))


def adversarial_shift(loss: torch.Tensor, embeddings: torch.Tensor, norm: float) -> torch.Tensor:
    """The change of each row's embeddings, (B, T, H), of Euclidean norm `norm`, along which its loss rises fastest.

    The fast gradient method of Miyato et al. 2017, equation 8: norm * g / ||g||, a constant to later gradients.

    Args:
        loss: a sum over rows; its graph is kept.
        embeddings: that it was computed from.
        norm: of each row's change.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(loss, embeddings, retain_graph=True)
    length = torch.linalg.vector_norm(gradient, dim=(1, 2), keepdim=True)
    shift: torch.Tensor = norm * gradient / length.clamp_min(_SMALLEST_NORM)
    return shift


def _mixed(embeddings: torch.Tensor, mixture: Mixture) -> torch.Tensor:
    share = mixture.share[:, None, None]
    return share * embeddings + (1 - share) * embeddings[mixture.partner]


def _table(model: nn.Module) -> nn.Module:
    try:
        table = model.get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        table = None
    if not isinstance(table, nn.Module):
        raise SettingsError(
            "train.objective: found a model without a table of token embeddings, which fgm and mixup change; "
            "set both to 0"
        )
    return table
