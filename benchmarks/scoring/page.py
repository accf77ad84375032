"""Write the tables of docs/scoring.md from what was noted: `python -m benchmarks.scoring.page`."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.results import FOLDER, read_figures
from benchmarks.scoring.gates import GATES
from benchmarks.scoring.noted import noted, noted_speeds
from benchmarks.scoring.speed import gate_table, speed_table, thread_table

_PAGE = Path(__file__).resolve().parents[2] / "docs/scoring.md"
_RESULTS = FOLDER / "scoring.json"
_END = "<!-- end -->"
_NAMES = {
    "mapring": "`mapring.predict_udf`, fp32 by OpenVINO",
    "torch": "`mapring.predict_udf`, fp32 by torch",
    "gated995": "`mapring.predict_udf`, agrees on 99.5 %",
    "gated98": "`mapring.predict_udf`, agrees on 98 %",
    "raw": "the fp32 backend without Spark",
    "batch_udf": "`predict_batch_udf`, batches of 32 padded to the longest",
    "padded": "`predict_batch_udf`, padded to 128",
    "pipeline": "transformers pipeline in `mapInPandas`",
    "ray": "Ray Data, two actors",
}
_SHAPES = {(2, 1): "mapring", (1, 2): "one_task"}  # tasks at a time, threads of each


def main() -> int:
    """Replace what stands between the marks of each table whose part was measured."""
    text = _PAGE.read_text()
    for mark, table in _tables().items():
        before, begin, rest = text.partition(f"<!-- {mark} -->\n")
        text = before + begin + table + rest[rest.index(_END) :]
    _PAGE.write_text(text)
    return 0


def _tables() -> dict[str, str]:
    tables = {}
    if (peers := noted("peers")) is not None:
        speeds = noted_speeds(peers)
        sides = {side: runs for side, runs in speeds.items() if side in _NAMES}
        tables["sides"] = speed_table(sides, _NAMES, "batch_udf") + _told(peers)
        tables["threads"] = thread_table({shape: speeds[side] for shape, side in _SHAPES.items()})
        tables["gates"] = gate_table(peers["backends"], peers["agreement"], {name: _NAMES[name] for name in GATES})
    if _RESULTS.exists():
        tables["figures"] = _figures()
    return tables


def _told(values: dict[str, object]) -> str:
    return f"\n{values['rows']:,} texts; {values['machine']}; {values['date']}.\n"


def _figures() -> str:
    rows = ["| Figure | Measured | Goal | Beside |", "|---|---:|---:|---|"]
    for figure in read_figures(_RESULTS):
        sign = "≥" if figure.better == "higher" else "≤"
        rows.append(f"| `{figure.name}` | {figure.value:.4g} | {sign} {figure.goal:.4g} | {figure.peer or ''} |")
    return "".join(f"{row}\n" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
