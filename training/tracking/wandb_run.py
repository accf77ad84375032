"""A run of Weights & Biases, by its own library; offline unless the user's environment asks for its service.

Online the service says which steps it has. Offline nothing does: each start writes the whole run anew, and removes what
earlier starts wrote, so that `wandb sync` brings every step once.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mapring.errors import StageError, in_one_line
from training.tracking.interface import Curve, Values

_CURVES: tuple[Curve, ...] = ("train", "validation")


def wandb_mode(environment: Mapping[str, str]) -> str:
    """The mode of W&B: what WANDB_MODE says, else online where there is a key, else offline."""
    return environment.get("WANDB_MODE") or ("online" if environment.get("WANDB_API_KEY") else "offline")


class WandbRun:
    """A run of W&B, taken up again where there is one of this id.

    Args:
        directory: of the training, on a local disk.
        run: id of the run.
        project: that it belongs to.
        settings: of the training, by dotted names.
        tags: fingerprints and the like, by name.

    Raises:
        StageError: the library is missing, or the run cannot be started.
    """

    def __init__(
        self, directory: Path, *, run: str, project: str, settings: Mapping[str, Any], tags: Mapping[str, str]
    ) -> None:
        mode = wandb_mode(os.environ)
        if mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # reports of the library's own errors go online
        try:
            import wandb
        except ImportError:
            raise StageError(
                "train.tracking.wandb: found no package wandb, expected it; run `pip install 'mapring[wandb]'`, or set "
                "train.tracking.wandb=false"
            ) from None
        if mode == "offline":
            for earlier in directory.glob(f"wandb/offline-run-*-{run}"):
                shutil.rmtree(earlier)
        try:
            self._run = wandb.init(
                dir=directory,
                project=project,
                id=run,
                name=run,
                config={**settings, **tags},
                tags=[f"{name}:{value}" for name, value in tags.items()],
                mode=mode,  # type: ignore[arg-type]  # what WANDB_MODE says is checked there
                resume=None if mode == "offline" else "allow",
                settings=wandb.Settings(silent=True, console="off"),
            )
        except Exception as error:  # the library has no common base of what it raises
            raise StageError(
                f"train.tracking.wandb: cannot start a run ({in_one_line(error)}); check WANDB_MODE, "
                "WANDB_API_KEY and WANDB_BASE_URL, or set train.tracking.wandb=false"
            ) from None
        # Of curves with a step of their own, W&B shows each over its own; its one counter cannot go back to a step.
        for curve in _CURVES:
            self._run.define_metric(f"{curve}/*", step_metric=f"{curve}/step")
        summary: Any = self._run.summary
        self._newest = {curve: int(summary.get(f"{curve}/step", 0)) for curve in _CURVES}

    def log(self, curve: Curve, rows: Sequence[Values]) -> None:
        """Add rows that the run has not."""
        for values in rows:
            if values["step"] > self._newest[curve]:
                self._run.log({f"{curve}/{name}": value for name, value in values.items()})
                self._newest[curve] = int(values["step"])

    def conclude(self, step: int, figures: Values) -> None:
        """Set `test/...` of the summary."""
        self._run.summary.update({f"test/{name}": value for name, value in {"step": step, **figures}.items()})

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()
