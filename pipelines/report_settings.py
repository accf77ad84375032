"""The settings on the page: all of them, and nothing that is a secret, for a page is mailed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

NOT_SHOWN = "(not shown)"
# Keys and tokens of object stores stand in spark.conf, and whoever knows the URL of a webhook can post to it.
_SECRET = re.compile(r"(?i)secret\b(?!_env)|passw|credential|(access|account)[._-]?key|\btoken\b|webhooks\.\d+\.url$")
_SECRET_WORD = re.compile(rf"{_SECRET.pattern}|webhooks.*\burl\b")  # of overrides, whose values may be sections


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as `preprocess.inputs.0.path: value`, the keys that the command line takes."""
    if isinstance(values, Mapping) and values:
        items = values.items()
    elif isinstance(values, list) and values:
        items = dict(enumerate(values)).items()
    else:
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def shown_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """All settings by their keys, secrets by a word in their place."""
    return {
        key: NOT_SHOWN if value is not None and _SECRET.search(key) else value for key, value in flatten(values).items()
    }


def shown_overrides(words: Sequence[str]) -> list[str]:
    """Overrides as they were given, those with a secret by their key alone."""
    return [f"{word.partition('=')[0]}={NOT_SHOWN}" if _SECRET_WORD.search(word) else word for word in words]
