"""Draw docs/ten_kills.svg: the loss of a training whose ranks are killed ten times, over that of the same in peace.

`python -m benchmarks.kill_curves` really kills them, and fails unless both end with the same weights and losses.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.charts import save_chart
from mapring.plan import Plan
from pipelines.plots import Line
from tests.training.faults.ground import Ground
from tests.training.faults.kills import killed_ten_times

_TARGET = Path(__file__).resolve().parents[1] / "docs/ten_kills.svg"


def main() -> int:
    """Kill, compare, draw."""
    with tempfile.TemporaryDirectory() as shared, tempfile.TemporaryDirectory() as own:
        killed, undisturbed, resumed = killed_ten_times(Ground(Path(shared), Path(own)))
        lines = [Line("in peace", _losses(undisturbed), faint=True), Line("killed ten times", _losses(killed))]
    save_chart(_TARGET, lines, title="Loss with and without ten kills", x_label=_told(resumed), y_label="loss")
    return 0


def _losses(plan: Plan) -> list[tuple[float, float]]:
    lines = Path(plan.training_directory, "metrics.jsonl").read_text().splitlines()
    return [(float(row["step"]), float(row["loss"])) for row in map(json.loads, lines)]


def _told(resumed: list[int]) -> str:
    return f"step; killed, and gone on from the checkpoints of steps {', '.join(map(str, resumed))}"


if __name__ == "__main__":
    sys.exit(main())
