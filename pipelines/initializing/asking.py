"""Questions about what only a person knows: asked on a terminal, refused with what to pass without one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import typer

from mapring.errors import SettingsError


@dataclass(frozen=True)
class Asker:
    """Asks on a terminal; `prefix` begins its refusals."""

    prefix: str
    is_interactive: bool

    def choose(self, found: str, question: str, choices: Mapping[str, str], *, instead: str) -> str:
        """One of several choices.

        Args:
            found: what was seen, which leaves it open.
            question: what is to be answered.
            choices: what can be chosen, each with what it means.
            instead: what to pass where there is nobody to ask.

        Raises:
            SettingsError: there is no terminal.
        """
        if not self.is_interactive:
            raise SettingsError(f"{self.prefix}: {found}; {instead}")
        sys.stdout.write(f"{self.prefix}: {found}. {question}\n")
        names = list(choices)
        for place, name in enumerate(names, 1):
            sys.stdout.write(f"  {place}  {name}{f'  ({choices[name]})' if choices[name] else ''}\n")
        while True:
            answer = str(typer.prompt("Which one (number or name)?")).strip()
            if answer in choices:
                return answer
            if answer.isdigit() and 1 <= int(answer) <= len(names):
                return names[int(answer) - 1]
            sys.stdout.write(f"expected a number from 1 to {len(names)}, or one of these names\n")


def is_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()
