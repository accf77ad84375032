"""What a scoring would do, told without doing it."""

from __future__ import annotations

from rich.console import Console

from mapring.plan import Plan
from mapring.progress import bytes_text
from mapring.scores.work import find_work, tell_work
from pipelines.tables import PlainTable

_LISTED = 20


def print_work(plan: Plan) -> None:
    """Print the inputs that would be scored, the largest first, and what would leave the table."""
    table, work = find_work(plan)
    listed = PlainTable(f"{tell_work(work)}; by model {plan.scoring_model}")
    for heading in ("source", "path", "bytes"):
        listed.add_column(heading, overflow="fold")
    for file in sorted(work.score, key=lambda file: -file.bytes)[:_LISTED]:
        listed.add_row(file.source, file.relative, bytes_text(file.bytes))
    if len(work.score) > _LISTED:
        listed.add_row("...", f"{len(work.score) - _LISTED:,} more", "")
    Console().print(listed)
    leaving = {found.key for found in work.leaving}
    if table is not None and leaving:
        files = [file for file in table.files if not leaving.isdisjoint(one.key for one in file.inputs)]
        rows = sum(file.rows for file in files)
        Console().print(f"{len(files):,} files of the table would be replaced, which have {rows:,} rows")
