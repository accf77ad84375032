"""A template of what a decoder is given: plain text with fields in braces, read once and filled row by row."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from string import Formatter


class Prompt:
    """A template that was read; `fields` are the names in its braces.

    Args:
        template: text with `{name}` where a value goes; `{{` and `}}` are braces.
        known: the names that may stand in it.

    Raises:
        ValueError: a name is not known, has a format or an attribute, or a brace has no other.
    """

    def __init__(self, template: str, known: Collection[str]) -> None:
        try:
            self._parts = list(Formatter().parse(template))
        except ValueError as error:
            raise ValueError(
                f"found {template!r} ({error}), expected a name in each pair of braces; write {{{{ and }}}} for braces"
            ) from None
        for _, name, form, conversion in self._parts:
            if name is not None and (name not in known or form or conversion):
                found = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
                expected = ", ".join(f"{{{one}}}" for one in known)
                raise ValueError(
                    f"found the field {{{found}}}, expected {expected}; write {{{{ and }}}} for braces themselves"
                )
        self.fields = frozenset(name for _, name, _, _ in self._parts if name is not None)

    def fill(self, values: Mapping[str, str]) -> str:
        """The template with values in place of its fields; braces in values are text like any other."""
        return "".join(text + ("" if name is None else values[name]) for text, name, _, _ in self._parts)
