"""What a driver must know of a published model before any worker loads it: what it is for, and what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from mapring import storage
from mapring.contract import Manifest, read_manifest
from mapring.contract.manifest import Kind
from mapring.errors import PublishedError, SettingsError
from mapring.settings.answers import Answers
from mapring.settings.base import changed_settings
from mapring.settings.combinations import ModeName, TaskName, answers_refusal, chosen_mode

DAMAGED_MODEL = "the model was damaged: remove its directory and train again"


@dataclass(frozen=True)
class PublishedModel:
    """A model's directory and manifest; `is_pair` says whether it reads two texts as one row."""

    directory: str
    manifest: Manifest
    is_pair: bool

    @property
    def task(self) -> TaskName:
        """What it was trained for."""
        task: TaskName = self.manifest.details["task"]
        return task

    @property
    def details(self) -> Any:
        """Of its manifest."""
        return self.manifest.details

    def mode_for(self, answers: Answers) -> ModeName:
        """The mode in which it answers.

        Raises:
            SettingsError: it gives no such answers.
        """
        why = answers_refusal(self.task, answers.mode, changed_settings(answers))
        if why is None and answers.mode == "generate" and self.details["transformers"] is None:
            why = "mode: found generate, but the model is a graph without state between tokens; ask for perplexity"
        if why is None and answers.mode == "generate" and self.is_pair:
            why = "mode: found generate, but the model reads pairs of texts; ask for perplexity"
        if why is None and answers.mode == "answer" and self.is_pair:
            why = (
                "mode: found answer, but the model reads pairs of texts and templates are single ones; ask for classify"
            )
        if why is not None:
            raise SettingsError(f"{self.directory}: {why}")
        return chosen_mode(self.task, answers.mode)


def read_made_for(directory: str, kind: Kind, model_fingerprint: str, remedy: str) -> Manifest:
    """The manifest of what was published beside a model, for that model alone.

    Args:
        directory: `<run_dir>/<kind>s/<fingerprint>`.
        kind: what must be there.
        model_fingerprint: of the model that it must have been made for.
        remedy: what to do where it was made for another one.

    Raises:
        PublishedError: nothing is published there, or something else, or it was made for another model.
    """
    manifest = read_manifest(directory)
    if manifest.kind != kind:
        raise PublishedError(f"{directory}: found {manifest.kind}, expected a {kind}; give {kind}s/<fingerprint>")
    owner = next((link["fingerprint"] for link in manifest.inputs if link.get("kind") == "model"), None)
    if owner != model_fingerprint:
        raise PublishedError(
            f"{directory}: found a {kind} of the model {owner}, expected one of {model_fingerprint}; {remedy}"
        )
    return manifest


def read_published_model(directory: str) -> PublishedModel:
    """Read a model's manifest, and of its golden rows whether they are pairs.

    Raises:
        PublishedError: there is no published model.
    """
    manifest = read_manifest(directory)
    if manifest.kind != "model":
        raise PublishedError(f"{directory}: found {manifest.kind}, expected a model; give models/<fingerprint>")
    path = storage.join(directory, manifest.details["golden"])
    try:
        with storage.open_read(path) as handle:
            columns = pq.read_schema(handle).names
    except (OSError, ValueError) as error:
        raise PublishedError(f"{path}: cannot be read ({error}); {DAMAGED_MODEL}") from None
    return PublishedModel(directory, manifest, "second_start" in columns)
