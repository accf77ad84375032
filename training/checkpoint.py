"""Checkpoints: published directories `checkpoints/step-00000100/` of weights, AdamW state and a cursor.

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
from training.ring import Ring
from training.step import Arithmetic

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Where a training stands: `step` optimizer steps done, `rows` and `tokens` seen in `seconds` of training."""

    step: int
    epoch: int
    precision: Arithmetic
    world_size: int
    loss: float
    rows: int
    tokens: int
    seconds: float


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
        self, model: nn.Module, optimizer: torch.optim.AdamW, cursor: Cursor, validation_loss: float | None = None
    ) -> str:
        """Publish a checkpoint, then remove the oldest beyond `keep`. Rank 0 only. Returns its directory.

        The one of the least `validation_loss`, of those that have one, stays besides.

        Raises:
            StageError: the disk is full or the store refuses.
        """
        directory = storage.join(self._root, f"step-{cursor.step:08d}")
        try:
            storage.remove_tree(directory)  # a damaged or half-written one of the same step, if any
            files = []
            for stem, tensors in (("model", state_tensors(model)), ("optimizer", _moments(model, optimizer))):
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
            kept = {*self.names()[-self._keep :], self.best()}
            for name in self._all_names():  # what a killed run left half-written or half-removed goes as well
                if name not in kept:
                    storage.remove_tree(storage.join(self._root, name))
        except OSError as error:
            raise StageError(
                f"{directory}: cannot be written ({error}); make room or check the permissions, then start again"
            ) from None
        return directory

    def names(self) -> list[str]:
        """Names of the published checkpoints, oldest first."""
        return [name for name in self._all_names() if contract.is_published(storage.join(self._root, name))]

    def _all_names(self) -> list[str]:
        return [name for name in storage.list_names(self._root) if name.startswith("step-")]

    def best(self) -> str | None:
        """Name of the published checkpoint with the least validation loss, the earliest of equal ones."""
        losses = {}
        for name in self.names():
            try:
                loss = contract.read_manifest(storage.join(self._root, name)).details.get("validation_loss")
            except PublishedError:  # damaged; whoever resumes from it is told
                continue
            if loss is not None:
                losses[name] = float(loss)
        return min(losses, key=losses.__getitem__, default=None)

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

    def load_newest(self, model: nn.Module, optimizer: torch.optim.AdamW) -> Cursor | None:
        """Fill model and optimizer from the newest sound checkpoint; None if there is none. Rank 0 only.

        Raises:
            StageError: it is of another training, or the shards are not those that it was trained on.
        """
        directory = self.newest()
        if directory is None:
            return None
        manifest = contract.read_manifest(directory)
        self._check_belongs(directory, manifest)
        targets = {"model": state_tensors(model), "optimizer": _moments(model, optimizer)}
        for entry in manifest.files:
            tensors = load(storage.read_bytes(storage.join(directory, entry.path)))
            target = targets[entry.path.rpartition("-")[0]]
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


def share_state(ring: Ring, model: nn.Module, optimizer: torch.optim.AdamW) -> None:
    """Give every rank the weights and the optimizer state of rank 0."""
    ring.broadcast_tensors([*state_tensors(model).values(), *_moments(model, optimizer).values()])


def _moments(model: nn.Module, optimizer: torch.optim.AdamW) -> dict[str, torch.Tensor]:
    """AdamW's step counters and moments by parameter name; the tensors themselves, not copies."""
    return {
        f"{moment}.{name}": optimizer.state[parameter][moment]
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
        for moment in _MOMENTS
    }
