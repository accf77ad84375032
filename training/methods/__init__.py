"""Ways of training a model: all of its weights, some, or a few that are added to it."""

from training.methods.apply import apply_method, finished_model, is_stock, save_parts, state_of_method
from training.methods.steps import after_step, penalty

__all__ = [
    "after_step",
    "apply_method",
    "finished_model",
    "is_stock",
    "penalty",
    "save_parts",
    "state_of_method",
]
