"""Read one pipeline's YAML, apply `KEY=VALUE` overrides, and say in one line what is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from mapring import storage
from mapring.errors import MapringError, SettingsError
from mapring.settings.base import Section, inner_section
from mapring.settings.schema import Settings

_DATA = re.compile(r"\.(?:csv|tsv|tab|jsonl|ndjson|txt|parquet)(?:\.(?:gz|bz2|zst))?$", re.IGNORECASE)


def load_settings(config: str, overrides: Sequence[str] = ()) -> Settings:
    """Read and validate a pipeline's settings.

    Args:
        config: path or URI of the YAML file.
        overrides: words of the form `train.epochs=2`; values are read as YAML, and list entries
            are named by position, as in `score.inputs.0.path=new.csv`.

    Raises:
        SettingsError: one line for the first thing that is wrong: file, key, value and remedy.
    """
    values = read_values(config, overrides)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(explain(config, values, error)) from None


def read_values(config: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What stands in a YAML file, with overrides applied, not yet validated.

    Raises:
        SettingsError: it cannot be read, or an override leads nowhere.
    """
    values = _read_yaml(config)
    for word in overrides:
        _override(values, word)
    return values


def _read_yaml(config: str) -> dict[str, Any]:
    try:
        content = storage.read_bytes(config)
    except (FileNotFoundError, IsADirectoryError):
        raise SettingsError(f"{config}: found no such file, expected a pipeline's YAML; check the path") from None
    except (OSError, ValueError, MapringError) as error:
        raise SettingsError(f"{config}: cannot be read: {error}") from None
    if _DATA.search(config):
        raise SettingsError(
            f"{config}: found a file of data, expected a pipeline's YAML; write one for it: mapring init {config}"
        )
    try:
        values = _parse(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        hint = "; indent with spaces, not with tabs" if "'\\t'" in problem else ""
        raise SettingsError(f"{config}:{where} not valid YAML: {problem}{hint}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{config}: found {_name_type(values)}, expected keys such as name, run_dir, preprocess")
    return values


def _parse(content: str | bytes) -> Any:
    """YAML to values of which none stands in two places: what an alias names is there as often as it is named."""
    return _apart(yaml.load(content, _Loader), ())


class _Loader(yaml.SafeLoader):
    """PyYAML's, which lets the last of two equal keys win and says nothing; here the second one is an error."""

    def compose_mapping_node(self, anchor: dict[Any, Any]) -> yaml.MappingNode:
        """Look at the keys as they are written: what `<<` merges may stand a second time."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            first = seen.setdefault((key.tag, key.value), key)
            if first is not key:
                raise yaml.MarkedYAMLError(
                    problem=f"found the key {key.value!r} twice, first in line {first.start_mark.line + 1}; "
                    "put both into one",
                    problem_mark=key.start_mark,
                )
        return node


def _apart(value: Any, above: tuple[int, ...]) -> Any:
    # An override is written in place, so a section that two keys share would change below both of them. copy.deepcopy
    # is of no use here, it keeps what is shared.
    if not isinstance(value, dict | list):
        return value
    if id(value) in above:
        raise yaml.YAMLError("found an alias below its own anchor, which has no end; write out what is meant")
    inside = (*above, id(value))
    if isinstance(value, dict):
        return {key: _apart(item, inside) for key, item in value.items()}
    return [_apart(item, inside) for item in value]


def _override(values: dict[str, Any], word: str) -> None:
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise SettingsError(f"{word!r}: expected KEY=VALUE, such as train.epochs=2")
    try:
        value = _parse(text)
    except yaml.YAMLError as error:
        found = getattr(error, "problem", None) or str(error)
        raise SettingsError(
            f"{word!r}: the value is not valid YAML: {found}; if it is a text, quote it, as in KEY='\"text\"'"
        ) from None
    *parents, last = key_parts(key)
    node: Any = values
    section: type[Section] | None = Settings
    for part in parents:
        section = _spell_out(node, part, section)
        node = _descend(node, part, word)
    if isinstance(node, list):
        node[_position(node, last, word)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise SettingsError(f"{word!r}: {'.'.join(parents)} holds {_name_type(node)}, which has no key {last!r}")


def _spell_out(node: Any, part: str, section: type[Section] | None) -> type[Section] | None:
    """Make keys of a text that stands for a section, so that one more can be set; the section below, if it is one."""
    if section is None or not isinstance(node, dict):
        return section  # a position in a list of sections
    below = inner_section(section, part)
    if below is not None and below.text_key is not None and isinstance(node.get(part), str):
        node[part] = {below.text_key: node[part]}
    return below


def key_parts(key: str) -> list[str]:
    """Parts of a dotted key; what follows `spark.conf.` or `tune.space.` is one part, a name that has dots itself."""
    for prefix in ("spark.conf.", "tune.space."):
        name = key.removeprefix(prefix)
        if name and name != key:
            return [*prefix.rstrip(".").split("."), name]
    return key.split(".")


def _descend(node: Any, part: str, word: str) -> Any:
    if isinstance(node, list):
        return node[_position(node, part, word)]
    if not isinstance(node, dict):
        raise SettingsError(f"{word!r}: nothing can be set below {_name_type(node)}")
    if node.get(part) is None:
        node[part] = {}
    return node[part]


def _position(node: list[Any], part: str, word: str) -> int:
    if not part.isdigit() or int(part) >= len(node):
        raise SettingsError(f"{word!r}: found position {part!r}, expected a number from 0 to {len(node) - 1}")
    return int(part)


def explain(config: str, values: dict[str, Any], error: ValidationError) -> str:
    """The first thing that is wrong, in one line: file, key, value and remedy."""
    first = min(
        error.errors(), key=lambda item: item["type"] != "extra_forbidden"
    )  # a misspelt key explains a missing one
    key = ".".join(str(part) for part in first["loc"])
    found = _lookup(values, first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{config}: {key}: unknown key{_suggest(first['loc'])}"
    if first["type"] == "missing":
        return f"{config}: {key}: is missing; add it ({_describe(first['loc'])})"
    message = first["msg"].removeprefix("Value error, ")
    if not key or first["type"] == "value_error":
        return f"{config}: {key + ': ' if key else ''}{message}"
    expected = message[0].lower() + message[1:]
    hint = _describe(first["loc"])
    return f"{config}: {key}: found {found!r}; {expected}" + (f" ({hint})" if hint else "")


def _lookup(values: Any, location: tuple[int | str, ...]) -> Any:
    for part in location:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return None
    return values


def _section(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The section class that the last part of a location belongs to."""
    section: type[BaseModel] = Settings
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        field = section.model_fields.get(part)
        if field is None:
            return None
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not inner:
            return None
        section = inner[0]
    return section


def _suggest(location: tuple[int | str, ...]) -> str:
    section = _section(location)
    if section is None:
        return "; remove it"
    known = list(section.model_fields)
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    elsewhere = _keys_named(str(location[-1]), Settings)
    if elsewhere:
        return f"; did you mean {' or '.join(elsewhere[:3])}?"
    return f"; remove it, or use one of: {', '.join(known)}"


def _keys_named(name: str, section: type[Section], above: str = "") -> list[str]:
    """Dotted keys of a section and of those below it whose last part is a name, the outermost first."""
    found = [f"{above}{name}"] if name in section.model_fields else []
    for key in section.model_fields:
        below = inner_section(section, key)
        if below is not None:
            found += _keys_named(name, below, f"{above}{key}.")
    return sorted(found, key=lambda key: key.count("."))


def _describe(location: tuple[int | str, ...]) -> str:
    section = _section(location)
    field = section.model_fields.get(str(location[-1])) if section else None
    return (field.description or "").rstrip(".") if field else ""


def _name_type(value: Any) -> str:
    names = {type(None): "nothing", str: "text", list: "a list", dict: "keys", bool: "a yes/no value"}
    return names.get(type(value), f"the value {value!r}")
