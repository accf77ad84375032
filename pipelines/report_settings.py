"""The settings on the page: all of them, and nothing that is a secret, for a page is mailed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from mapring.passwords import NOT_SHOWN, without_users

# Whoever knows the URL of a webhook can post to it.
_SECRET = re.compile(
    r"(?i)secret\b(?!_env)|passw|credential|(access|account|api)[._-]?key|\btoken\b|webhooks\.\d+\.url$"
)
# Names in spark.conf are those of Hadoop, of object stores and of environments: a word in them may stand anywhere, and
# a setting too many that is not shown costs less than one too few.
_SPARK_CONF = "spark.conf."
_WORDS = "token(?!i[sz])|secret|key|sas|pass(?:w|phrase)|pwd|credential"
_SECRET_OF_SPARK = re.compile(_WORDS, re.IGNORECASE)
_SECRET_OPTION = re.compile(rf"(?:{_WORDS})[^\s=]*=", re.IGNORECASE)  # in a value, such as -Dname=value
# In a store's path `?` may be a wildcard; a query has a name and `=` right behind it.
_STORE = rf"://(?:{re.escape(NOT_SHOWN)}@)?[^\s?]*\?"
_QUERY = re.compile(rf"(?P<before>\bhttps?{_STORE}|{_STORE}(?=[\w.%-]+=))[^\s,\]}}'\"]+", re.IGNORECASE)


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
    """All settings by their keys, secrets by a word in their place, and URLs without user, password and query."""
    return {
        key: NOT_SHOWN if _is_secret(key, value) else _without_secrets(value) for key, value in flatten(values).items()
    }


def shown_overrides(words: Sequence[str]) -> list[str]:
    """Overrides as they were given, those with a secret by their key alone."""
    return [_shown_override(word) for word in words]


def _shown_override(word: str) -> str:
    key, _, text = word.partition("=")
    value = yaml.safe_load(text)  # it may be a whole section
    if any(_is_secret(name, found) for name, found in flatten(value, key).items()):
        return f"{key}={NOT_SHOWN}"
    return f"{key}={_without_secrets(text)}"


def _is_secret(key: str, value: Any) -> bool:
    if value is None:
        return False
    name = key.removeprefix(_SPARK_CONF)
    if name != key and (_SECRET_OF_SPARK.search(name) or _SECRET_OPTION.search(str(value))):
        return True
    return _SECRET.search(key) is not None


def _without_secrets(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return _QUERY.sub(rf"\g<before>{NOT_SHOWN}", without_users(value))
