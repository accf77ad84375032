"""Where the files are of a model that is named: to start from, to learn from, to write drafts; and its license."""

from __future__ import annotations

import json

import yaml

from mapring import storage
from mapring.contract import is_published, read_manifest
from mapring.errors import SettingsError

_DECODERS = ("ForCausalLM", "LMHeadModel")  # how transformers names what predicts the next token


def named_directory(uri: str) -> str:
    """The directory that a setting names: of a run directory the model that is published there, else that very one.

    Raises:
        SettingsError: several models are published in the run directory.
    """
    resolved = storage.resolve(uri)
    if is_published(resolved):
        return resolved
    models = storage.join(resolved, "models")
    found = [name for name in storage.list_names(models) if is_published(storage.join(models, name))]
    if len(found) > 1:
        raise SettingsError(
            f"found {len(found)} models in the run directory {uri} ({', '.join(found)}), expected one; give the one "
            f"that is meant, such as {storage.join(uri, 'models', found[-1])}"
        )
    return storage.join(models, found[0]) if found else resolved


def transformers_directory(directory: str) -> str:
    """The transformers directory that `train.model` or a tokenizer names.

    It is that very one, the one inside of a published model, or that of the only model of a run directory.

    Raises:
        SettingsError: something else is published there, several models, or one that stock transformers cannot load.
        PublishedError: what is published there is damaged.
    """
    resolved = named_directory(directory)
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


def teacher_directory(uri: str) -> str:
    """The transformers directory of a teacher: a published model, a run directory with one, or such a directory.

    Raises:
        SettingsError: what is published there is no classifier that stock transformers loads.
        PublishedError: it is damaged.
    """
    where = named_directory(uri)
    _check_task(uri, where, "classify", "a classifier")
    return transformers_directory(where)


def decoder_directory(uri: str) -> str:
    """The directory of a decoder: of a published model, also of a run directory's only one, else a transformers one.

    Raises:
        SettingsError: what is published there is no causal language model that stock transformers loads.
        PublishedError: it is damaged.
    """
    where = named_directory(uri)
    _check_task(uri, where, "clm", "a decoder")
    transformers_directory(where)
    return where


def check_decoder_config(directory: str) -> None:
    """Refuse a transformers directory whose configuration names no decoder.

    transformers would load an encoder as one, too, and give its new head random weights.

    Raises:
        SettingsError: it names something else, or nothing.
    """
    path = storage.join(directory, "config.json")
    try:
        config = json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise SettingsError(f"found a {path} that is no JSON ({error}); copy the directory again") from None
    found = (config.get("architectures") if isinstance(config, dict) else None) or []
    if not any(str(name).endswith(_DECODERS) for name in found):
        raise SettingsError(
            f"found {', '.join(map(str, found)) or 'no architectures'} in {path}, expected a decoder, such as "
            "GPT2LMHeadModel or LlamaForCausalLM; give one, or train one with train.task=clm"
        )


def _check_task(uri: str, where: str, task: str, named: str) -> None:
    """Refuse what is published at a directory, which `uri` stands for, unless it is a model of a task."""
    if not is_published(where):
        return
    manifest = read_manifest(where)
    found = manifest.details.get("task", manifest.kind)
    if found != task:
        raise SettingsError(f"found {uri}, a published {found}, expected {named}; give one of train.task={task}")


def license_of(directory: str) -> str | None:
    """The license that a model came under, as it says itself; None where it does not.

    A published model passes on that of its own base. Else it is `license` in the front matter of the README.md beside
    the weights, as model hubs have it, or the first line of a LICENSE file there.

    Raises:
        PublishedError: what is published there is damaged.
    """
    resolved = named_directory(directory)
    if is_published(resolved):
        found: str | None = read_manifest(resolved).details.get("base_license")
        return found
    card, text = storage.join(resolved, "README.md"), storage.join(resolved, "LICENSE")
    if storage.exists(card):
        stated = _front_matter(storage.read_bytes(card).decode(errors="replace")).get("license")
        if stated:
            return str(stated)
    if storage.exists(text):
        lines = [line.strip() for line in storage.read_bytes(text).decode(errors="replace").splitlines()]
        return next(filter(None, lines), None)
    return None


def _front_matter(card: str) -> dict[str, object]:
    """The YAML between the first two lines of dashes; empty where there is none."""
    parts = card.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        found = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}
