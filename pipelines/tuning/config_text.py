"""A YAML text with values replaced where they stand, so that its comments and its order stay."""

from __future__ import annotations

from collections.abc import Sequence

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from mapring import storage
from mapring.settings.load import key_parts, read_values
from pipelines.tuning.space import value_text


def config_with(config: str, overrides: Sequence[str], comment: str) -> str:
    """The text of a pipeline's YAML with overrides in it, below a comment.

    What cannot be replaced in place (in YAML that shares parts by anchors) is written anew, without comments.

    Raises:
        SettingsError: an override leads nowhere.
    """
    expected = read_values(config, overrides)
    text = storage.read_bytes(config).decode()
    try:
        for word in overrides:
            key, _, value = word.partition("=")
            text = _replaced(text, key_parts(key), value_text(yaml.safe_load(value)))
        is_right = yaml.safe_load(text) == expected
    except yaml.YAMLError:
        is_right = False
    if not is_right:
        text = yaml.safe_dump(expected, sort_keys=False, allow_unicode=True)
    return "".join(f"# {line}\n" for line in comment.splitlines()) + text


def _replaced(text: str, parts: Sequence[str], value: str) -> str:
    """The text with the value below a path of keys and positions; a key that is not there becomes the first of its."""
    node: Node = yaml.compose(text, Loader=yaml.SafeLoader)  # type: ignore[assignment]  # its root is a mapping
    for position, part in enumerate(parts):
        below = _below(node, part)
        if below is None:
            inner = value
            for missing in reversed(parts[position + 1 :]):
                inner = f"{{{value_text(missing)}: {inner}}}"
            return _inserted(text, node, f"{value_text(part)}: {inner}")
        node = below
    before, after = text[: node.start_mark.index], text[node.end_mark.index :]
    space = "" if before.endswith((" ", "\n")) else " "  # after the colon of a key without a value
    return f"{before}{space}{value}{after}"


def _below(node: Node, part: str) -> Node | None:
    if isinstance(node, SequenceNode):
        found: Node = node.value[int(part)]
        return found
    if isinstance(node, MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    return None


def _inserted(text: str, node: Node, entry: str) -> str:
    """The text with one more entry of a mapping, before its first."""
    if not isinstance(node, MappingNode) or not node.value:
        before, after = text[: node.start_mark.index], text[node.end_mark.index :]
        return f"{before} {{{entry}}}{after}"
    start = node.value[0][0].start_mark
    between = ", " if node.flow_style else "\n" + " " * start.column
    return f"{text[: start.index]}{entry}{between}{text[start.index :]}"
