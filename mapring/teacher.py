"""Where the transformers directory of a teacher is: a published model names its own."""

from __future__ import annotations

from mapring import storage
from mapring.base_model import transformers_directory
from mapring.contract import is_published, read_manifest
from mapring.errors import SettingsError


def teacher_directory(uri: str) -> str:
    """The transformers directory of a teacher, which is a published model or such a directory itself.

    Raises:
        SettingsError: what is published there is no classifier that stock transformers loads.
        PublishedError: it is damaged.
    """
    where = storage.resolve(uri)
    if is_published(where):
        manifest = read_manifest(where)
        found = manifest.details.get("task", manifest.kind)
        if found != "classify":
            raise SettingsError(
                f"found {uri}, a published {found}, expected a classifier; give one of train.task=classify"
            )
    return transformers_directory(uri)
