"""Tables show what users wrote as they wrote it."""

from __future__ import annotations

import io

from rich.console import Console

from pipelines.tables import PlainTable


def test_brackets_of_labels_and_paths_are_no_markup() -> None:
    table = PlainTable("runs/[old] of [/s]")
    table.add_column("file", overflow="fold")
    for name in ("export [final].csv", "[/s]", "[bold]x[/bold]"):
        table.add_row(name)
    shown = io.StringIO()
    Console(file=shown, width=60).print(table)
    for text in ("runs/[old] of [/s]", "export [final].csv", "[/s]", "[bold]x[/bold]"):
        assert text in shown.getvalue()
