"""Checkpoints: published directories `checkpoints/step-00000100/` of weights, the optimizer's state and a cursor.

The cursor's step tells everything else about where a training stands (epoch, batch, learning rate,
dropout), so a resumed run goes on bit for bit at the same number of ranks. Rank 0 alone writes
and reads; what it read reaches the others over the ring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import nn

from mapring import contract, storage
from mapring.contract import Manifest
from mapring.contract.verify import verify
from mapring.errors import PublishedError, StageError
from mapring.progress import say
from training.model import state_tensors
from training.optimizers import optimizer_state
from training.ring import Ring
from training.step import Arithmetic


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Where a training stands: `step` optimizer steps done, `rows` and `tokens` seen in `seconds` of training.

    With patience: the least validation loss so far, the step that it was found behind, and how many evaluations since
    then were `without_gain`. With older shards: the figures on them before the first step.
    """

    step: int
    epoch: int
    precision: Arithmetic
    world_size: int
    loss: float
    rows: int
    tokens: int
    seconds: float
    least_loss: float | None = None
    best_step: int = 0
    without_gain: int = 0
    older_before: Mapping[str, float] | None = None


class Checkpoints:
    """The checkpoints of one training.

    Args:
        directory: the training directory; checkpoints stand in `checkpoints/` below it.
        fingerprint: of the model that is trained.
        shards: digest of the shards that it is trained on.
        settings: the settings that entered it, for the manifest.
        keep: how many to keep.
    """

    def __init__(
        self, directory: str, *, fingerprint: str, shards: str, settings: Mapping[str, Any], keep: int
    ) -> None:
        self._root = storage.join(directory, "checkpoints")
        self._fingerprint, self._shards, self._settings, self._keep = fingerprint, shards, settings, keep

    def save(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, cursor: Cursor, validation_loss: float | None = None
    ) -> str:
        """Publish a checkpoint, then remove the oldest beyond `keep`. Rank 0 only. Returns its directory.

        The one of the least `validation_loss`, of those that have one, stays besides, and that of the cursor's best
        step.

        Raises:
            StageError: the disk is full or the store refuses.
        """
        directory = storage.join(self._root, _name(cursor.step))
        try:
            storage.remove_tree(directory)  # a damaged or half-written one of the same step, if any
            files = []
            for stem, tensors in (("model", state_tensors(model)), ("optimizer", optimizer_state(model, optimizer))):
                content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
                files.append(
                    contract.write_file(directory, contract.content_name(stem, content, ".safetensors"), content)
                )
            manifest = Manifest(
                kind="checkpoint",
                fingerprint=self._fingerprint,
                created=contract.utc_now(),
                code_version=contract.code_version(),
                settings=self._settings,
                inputs=(),
                files=tuple(files),
                details={"cursor": asdict(cursor), "shards": self._shards, "validation_loss": validation_loss},
            )
            contract.publish(directory, manifest)
            kept = self._kept(_name(cursor.step))
            for name in self._all_names():  # what a killed run left half-written or half-removed goes as well
                if name not in kept:
                    storage.remove_tree(storage.join(self._root, name))
        except OSError as error:
            raise StageError(
                f"{directory}: cannot be written ({error}); make room or check the permissions, then start again"
            ) from None
        return directory

    def _kept(self, newest: str) -> set[str]:
        """Names of those that stay: the newest and what a start from any of these needs.

        Later steps than the newest were passed over when this training began, for they are damaged: they neither count
        nor stay.
        """
        sound = {name: self._details(name) for name in self.names() if name <= newest}
        latest = list(sound)[-self._keep :]
        named = {_name(sound[name]["cursor"].get("best_step", 0)) for name in latest if sound[name]}
        best = _least_loss(sound)
        return {*latest, *named, *([] if best is None else [best])}

    def _details(self, name: str) -> Mapping[str, Any]:
        """What a checkpoint's manifest says of it; nothing of a damaged one, which whoever resumes from it is told."""
        try:
            return contract.read_manifest(storage.join(self._root, name)).details
        except PublishedError:
            return {}

    def names(self) -> list[str]:
        """Names of the published checkpoints, oldest first."""
        return [name for name in self._all_names() if contract.is_published(storage.join(self._root, name))]

    def _all_names(self) -> list[str]:
        return [name for name in storage.list_names(self._root) if name.startswith("step-")]

    def best(self) -> str | None:
        """Name of the published checkpoint with the least validation loss, the earliest of equal ones."""
        return _least_loss({name: self._details(name) for name in self.names()})

    def newest(self) -> str | None:
        """Directory of the newest checkpoint that verifies; one that does not is told about and passed over."""
        for name in reversed(self._all_names()):
            directory = storage.join(self._root, name)
            if not contract.is_published(directory):
                say("train", f"warning: checkpoint {name} is not complete and not used; a run ended while writing it")
                continue
            problems = verify(directory)
            if not problems:
                return directory
            say("train", f"warning: checkpoint {name} is damaged and not used: {problems[0]}")
        return None

    def load_newest(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Cursor | None:
        """Fill model and optimizer from the newest sound checkpoint; None if there is none. Rank 0 only.

        Raises:
            StageError: it is of another training, or the shards are not those that it was trained on.
        """
        directory = self.newest()
        if directory is None:
            return None
        return self._load(directory, {"model": state_tensors(model), "optimizer": optimizer_state(model, optimizer)})

    def load_weights(self, step: int, model: nn.Module) -> None:
        """Fill the model from the checkpoint of a step. Rank 0 only.

        Raises:
            StageError: it is not there, damaged or of another training.
        """
        directory = storage.join(self._root, _name(step))
        problems = verify(directory) if contract.is_published(directory) else ["it is not there"]
        if problems:
            training = self._root.rpartition("/")[0]
            raise StageError(
                f"{directory}: found no sound checkpoint ({problems[0]}), but the model of this step is the one to "
                f"publish; remove {training} and start again"
            )
        self._load(directory, {"model": state_tensors(model)})

    def _load(self, directory: str, targets: Mapping[str, Mapping[str, torch.Tensor]]) -> Cursor:
        """Fill tensors by the file that they stand in and their names; other files are not read."""
        manifest = contract.read_manifest(directory)
        self._check_belongs(directory, manifest)
        for entry in manifest.files:
            target = targets.get(entry.path.rpartition("-")[0])
            if target is None:
                continue
            tensors = load(storage.read_bytes(storage.join(directory, entry.path)))
            if tensors.keys() != target.keys():
                raise StageError(
                    f"{directory}: its tensors are not those of train.model; remove the training directory, start again"
                )
            for name, tensor in tensors.items():
                target[name].copy_(tensor)
        return Cursor(**manifest.details["cursor"])

    def _check_belongs(self, directory: str, manifest: Manifest) -> None:
        training = directory.removesuffix(f"/checkpoints/{directory.rpartition('/')[2]}")
        if manifest.fingerprint != self._fingerprint:
            raise StageError(
                f"{directory}: found a checkpoint of model {manifest.fingerprint}, expected {self._fingerprint}; "
                f"move it back to where it belongs, or remove {training} and start again"
            )
        if manifest.details.get("shards") != self._shards:
            raise StageError(
                f"{directory}: the shards are not those that this checkpoint was trained on; "
                f"bring those back, or remove {training} and start again from the first step"
            )


def _least_loss(details: Mapping[str, Mapping[str, Any]]) -> str | None:
    losses = {
        name: float(told["validation_loss"])
        for name, told in details.items()
        if told.get("validation_loss") is not None
    }
    return min(losses, key=losses.__getitem__, default=None)


def _name(step: int) -> str:
    return f"step-{step:08d}"


def share_state(ring: Ring, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Give every rank the weights and the optimizer state of rank 0."""
    ring.broadcast_tensors([*state_tensors(model).values(), *optimizer_state(model, optimizer).values()])
