"""The trackers that a plan asks for, opened for a training and closed behind it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mapring import storage
from mapring.contract import code_version
from mapring.errors import StageError
from mapring.plan import Plan
from training.ring import Ring, first_rank_only
from training.tracking.background import Background
from training.tracking.interface import Tracker
from training.tracking.mlflow_run import MlflowRun
from training.tracking.wandb_run import WandbRun

_SENT = {"name", "seed", "preprocess", "train", "ring"}  # what shapes a training; other sections may hold secrets
_KEPT_HERE = {"train": {"tracking"}}  # where it is sent to: an address that may hold a password


@contextmanager
def tracked(plan: Plan, ring: Ring) -> Iterator[list[Tracker]]:
    """The trackers beside TensorBoard that rank 0 has for a training; none on the other ranks.

    All ranks open them together, so that all learn where one cannot be opened.

    Raises:
        AgreedError: a library is missing, or a service cannot be reached.
    """
    trackers: list[Tracker] = []

    def open_all() -> None:
        for tracker in _open(plan):
            trackers.append(tracker)

    try:
        first_rank_only(ring, open_all, may_take_long=True)  # MLflow asks a silent server for four minutes
        yield trackers
    finally:
        for tracker in trackers:
            tracker.close()


def _open(plan: Plan) -> Iterator[Tracker]:
    settings = plan.settings.train.tracking
    if not (settings.wandb or settings.mlflow):
        return
    told: dict[str, Any] = {
        "run": run_id(plan.training_directory, plan.model),
        "project": settings.project or plan.settings.name,
        "settings": dotted(plan.settings.model_dump(mode="json", include=_SENT, exclude=_KEPT_HERE)),
        "tags": {"model": plan.model, "shards": plan.shards, "code": code_version()},
    }
    if settings.wandb:
        yield Background("W&B", WandbRun(_local(plan, "wandb=false"), **told))
    if settings.mlflow:
        uri = settings.mlflow_uri or os.environ.get("MLFLOW_TRACKING_URI")
        place = None if uri else _local(plan, "mlflow_uri to a server")
        uri = uri or f"sqlite:///{place}/mlflow.db"
        yield Background("MLflow", MlflowRun(uri, place, **told))


def run_id(directory: str, fingerprint: str) -> str:
    """The id of a training's run: as its directory has it, else one that is new there.

    It holds the model's fingerprint, and random digits: the same model trained elsewhere, or anew, is another run.
    """
    uri = storage.join(directory, "tracking-run")
    storage.create(uri, f"{fingerprint}-{secrets.token_hex(4)}".encode())  # stays as it is where there is one
    return storage.read_bytes(uri).decode()


def dotted(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, with dots between the parts of a key."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= dotted(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _local(plan: Plan, instead: str) -> Path:
    path = storage.local_path(plan.training_directory)
    if path is None:
        raise StageError(
            f"train.tracking: found the training directory {plan.training_directory}, expected one on a local disk, "
            f"which is needed here; set train.tracking.{instead}"
        )
    return path.absolute()
