"""Write the tables and charts of docs/models.md from what was noted: `python -m benchmarks.models.page`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.charts import save_chart
from benchmarks.models.methods import METHODS, REGULARIZED
from benchmarks.models.trained import noted
from benchmarks.results import FOLDER, read_figures
from pipelines.plots import Line, smooth

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_END = "<!-- end -->"


def main() -> int:
    """Replace what stands between the marks of each table, and draw the charts."""
    page = _DOCS / "models.md"
    text = page.read_text()
    tables = {
        "methods": _table(list(METHODS)),
        "regularized": _table(["full", *REGULARIZED]),
        "figures": _figures(),
    }
    for mark, table in tables.items():
        before, begin, rest = text.partition(f"<!-- {mark} -->\n")
        text = before + begin + table + rest[rest.index(_END) :]
    page.write_text(text)
    _chart("models_mlm.svg", "Loss of the masked language model", {"masked language model": "mlm"})
    _chart(
        "models_pretrained.svg",
        "Loss of one classifier, from random weights and pretrained",
        {"from random weights": "scratch", "pretrained": "pretrained"},
    )
    _chart("models_banking77.svg", "Loss on Banking77", {"fine-tuned": "banking77"})
    return 0


def _table(names: Sequence[str]) -> str:
    rows = ["| | Accuracy | 95 % | Macro-F1 | Epochs | Rate | Training | Whole | Memory |"]
    rows.append("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    rows += [_row(name, found) for name in names if (found := noted(name)) is not None]
    return "".join(f"{row}\n" for row in rows)


def _figures() -> str:
    rows = ["| Figure | Measured | Goal | Beside |", "|---|---:|---:|---|"]
    for figure in read_figures(FOLDER / "models.json"):
        sign = "≥" if figure.better == "higher" else "≤"
        rows.append(f"| `{figure.name}` | {figure.value:.4g} | {sign} {figure.goal:.4g} | {figure.peer or ''} |")
    return "".join(f"{row}\n" for row in rows)


def _row(name: str, found: dict[str, Any]) -> str:
    test = found["test"]
    low, high = test["intervals"]["accuracy"]
    return (
        f"| `{name}` | {test['accuracy']:.3f} | {low:.3f} to {high:.3f} | {test['macro_f1']:.3f} | {found['epochs']} | "
        f"{found['learning_rate']:g} | {found['loop_seconds']:.0f} s | {found['seconds']:.0f} s | "
        f"{found['peak_bytes'] / 1e9:.1f} GB |"
    )


def _chart(file: str, title: str, curves: dict[str, str]) -> None:
    found = {label: values for label, name in curves.items() if (values := noted(name)) is not None}
    if found:
        lines = [Line(label, smooth([(x, y) for x, y in values["curve"]])) for label, values in found.items()]
        save_chart(_DOCS / file, lines, title=title, x_label=f"step: {', '.join(found)}", y_label="loss")


if __name__ == "__main__":
    sys.exit(main())
