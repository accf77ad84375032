"""TensorBoard events, the place that every training has."""

from __future__ import annotations

from collections.abc import Sequence

from torch.utils.tensorboard.writer import SummaryWriter

from mapring import storage
from mapring.full_disk import told_when_full
from training.tracking.interface import Curve, Values


class TensorBoard:
    """Events below `tensorboard/` of a training directory; those of steps after `done` are dropped.

    Raises:
        DiskFullError: from any method.
    """

    def __init__(self, directory: str, *, done: int) -> None:
        self._uri = storage.join(directory, "tensorboard")
        self._events = SummaryWriter(self._uri, purge_step=done + 1, flush_secs=10)

    def log(self, curve: Curve, rows: Sequence[Values]) -> None:
        """Add scalars `train/...` or `validation/...`."""
        with told_when_full(self._uri, 0):
            for values in rows:
                for name, value in values.items():
                    if name != "step":
                        self._events.add_scalar(f"{curve}/{name}", value, int(values["step"]))

    def close(self) -> None:
        """Write what is left."""
        with told_when_full(self._uri, 0):
            self._events.close()
