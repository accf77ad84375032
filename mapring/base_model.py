"""Where the files are of a model that a training starts from."""

from __future__ import annotations

from mapring import storage
from mapring.contract import is_published, read_manifest
from mapring.errors import SettingsError


def transformers_directory(directory: str) -> str:
    """The transformers directory that `train.model` names: that very one, or the one inside of a published model.

    Raises:
        SettingsError: something else is published there, or a model that stock transformers cannot load.
        PublishedError: what is published there is damaged.
    """
    resolved = storage.resolve(directory)
    if not is_published(resolved):
        return resolved
    manifest = read_manifest(resolved)
    if manifest.kind != "model":
        raise SettingsError(
            f"{directory}: found published {manifest.kind}, expected a model; give <run_dir>/models/<fingerprint>"
        )
    inside = manifest.details["transformers"]
    if inside is None:
        raise SettingsError(
            f"{directory}: found a model of method {manifest.details['method']} that stock transformers cannot load, "
            "expected a whole one; give one of method full, lora, adalora or ia3 that started from transformers"
        )
    return storage.join(resolved, str(inside))
