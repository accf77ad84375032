"""Tables for the terminal, as all commands print them."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text


class PlainTable(Table):
    """A table whose title and cells are shown as they are: brackets in labels, paths and errors are no markup."""

    def __init__(self, title: str, *, show_header: bool = True) -> None:
        super().__init__(title=Text(title, style="table.title"), show_header=show_header, title_justify="left")

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row of strings."""
        super().add_row(*(Text(cell) for cell in cells), **options)
