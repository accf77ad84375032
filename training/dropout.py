"""Dropout of a transformers model: every architecture has other names for its probabilities."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Any

from mapring.errors import SettingsError
from mapring.settings.train import Train

_PARTS_OF_NAMES = ("dropout", "pdrop")  # hidden_dropout_prob of BERT, resid_pdrop of GPT-2, mlp_dropout of ModernBERT


def dropout_names(config: Any) -> list[str]:
    """Names of the probabilities in a configuration, of transformers or ours; None is one that follows another."""
    values = asdict(config) if is_dataclass(config) and not isinstance(config, type) else config.to_dict()
    return sorted(
        name
        for name, value in values.items()
        if any(part in name for part in _PARTS_OF_NAMES) and (value is None or type(value) in (int, float))
    )


def dropout_settings(config: Any, probability: float | None) -> dict[str, float]:
    """All dropout of a configuration at one probability, nothing where that is None.

    Raises:
        SettingsError: the architecture has no dropout.
    """
    if probability is None:
        return {}
    names = dropout_names(config)
    if not names:
        raise SettingsError(f"train.dropout: found {probability}, but {config.model_type} has no dropout; remove it")
    return dict.fromkeys(names, probability)


def check_passes_differ(config: Any, settings: Train) -> None:
    """Refuse two passes with different dropout of a model that has none.

    Raises:
        SettingsError: `train.objective.r_drop` is set, and no probability is above 0.
    """
    found = settings.objective.r_drop
    if not found or settings.method.dropout or any(getattr(config, name) for name in dropout_names(config)):
        return
    raise SettingsError(
        f"train.objective.r_drop: found {found}, but the model has no dropout, so that both passes are the same; "
        "set train.dropout, such as 0.1"
    )
