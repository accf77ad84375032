"""Charts of benchmarks as SVG files that a page of the documentation shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.plots import Line, line_chart

_STYLE = (
    "<style>text{fill:#666;font:13px sans-serif}.grid{stroke:#ddd}.line{fill:none;stroke-width:1.5}"
    ".line-0{stroke:#c5541a}.line-1{stroke:#2468b0}.line-2{stroke:#2f7d4f}"
    ".faint{stroke:#2468b0;stroke-width:5;opacity:.35}</style>"
)


def save_chart(target: Path, lines: Sequence[Line], *, title: str, x_label: str, y_label: str) -> None:
    """Write a chart of lines that can be looked at without the report's stylesheet."""
    svg = line_chart(lines, title=title, x_label=x_label, y_label=y_label)
    svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    target.write_text(svg.replace(">", f">{_STYLE}", 1))
