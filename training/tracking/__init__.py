"""Where training curves go: TensorBoard always, W&B and MLflow where they are asked for."""

from training.tracking.chosen import tracked
from training.tracking.interface import Curve, Tracker, Values

__all__ = ["Curve", "Tracker", "Values", "tracked"]
