"""What a model minimizes, where that is more than one plain loss of one pass."""

from training.objectives.class_weights import balanced_weights
from training.objectives.classification import ClassificationObjective

__all__ = ["ClassificationObjective", "balanced_weights"]
