"""Draw docs/ten_kills.svg: the loss of a training whose ranks are killed ten times, over that of the same in peace.

`python -m benchmarks.kill_curves` really kills them, and fails unless both end with the same weights and losses.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from mapring.plan import Plan
from pipelines.plots import Line, line_chart
from tests.training.faults.ground import Ground
from tests.training.faults.kills import killed_ten_times

_TARGET = Path(__file__).resolve().parents[1] / "docs/ten_kills.svg"
_STYLE = (
    "<style>text{fill:#666;font:13px sans-serif}.grid{stroke:#ddd}.line{fill:none;stroke-width:1.5}"
    ".line-0{stroke:#c5541a}.faint{stroke:#2468b0;stroke-width:5;opacity:.35}"
    "</style>"
)


def main() -> int:
    """Kill, compare, draw."""
    with tempfile.TemporaryDirectory() as shared, tempfile.TemporaryDirectory() as own:
        killed, undisturbed, resumed = killed_ten_times(Ground(Path(shared), Path(own)))
        lines = [Line("in peace", _losses(undisturbed), faint=True), Line("killed ten times", _losses(killed))]
    svg = line_chart(lines, title="Loss with and without ten kills", x_label=_told(resumed), y_label="loss")
    _TARGET.write_text(
        svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(">", f">{_STYLE}", 1)
    )
    return 0


def _losses(plan: Plan) -> list[tuple[float, float]]:
    lines = Path(plan.training_directory, "metrics.jsonl").read_text().splitlines()
    return [(float(row["step"]), float(row["loss"])) for row in map(json.loads, lines)]


def _told(resumed: list[int]) -> str:
    return f"step; killed, and gone on from the checkpoints of steps {', '.join(map(str, resumed))}"


if __name__ == "__main__":
    sys.exit(main())
