"""Pictures of the report for the documentation: `python -m benchmarks.report_pictures`.

`docs/report.png` is the top of the demo's report, which must have been written (`make demo`); `docs/report_watch.png`
the watch section of a made-up month with drifts and surges. Both need Chromium.
"""

from __future__ import annotations

import datetime
import sys
import tempfile
from pathlib import Path

from benchmarks.applications.report import demo_report
from benchmarks.browser.chromium import Scheme, Tab, open_tab
from benchmarks.operations.drift_month import HOURS
from benchmarks.operations.watched_month import watched_month
from mapring.plan import make_plan
from pipelines.report import render
from pipelines.report_watch import make_page
from tests.tiny import write_world

ROOT = Path(__file__).resolve().parents[1]
_WIDTH = 1000  # CSS pixels


def main() -> int:
    """Take both pictures; the exit code."""
    report = demo_report()
    with tempfile.TemporaryDirectory() as folder, open_tab() as tab:
        watch = Path(folder, "watch.html")
        watch.write_text(watch_page(Path(folder)))
        _open(tab, report, "light")
        _picture(tab, 0.0, _top_of(tab, "figure"), ROOT / "docs/report.png")
        _open(tab, watch, "dark")
        _picture(tab, _top_of(tab, "#watch"), _top_of(tab, "#alerts"), ROOT / "docs/report_watch.png")
    return 0


def watch_page(folder: Path) -> str:
    """The report of a pipeline without anything but a month of watched counts."""
    config, _ = write_world(folder)
    plan = make_plan(config, ["name=messages", "watch.window=1h", f"watch.judged_windows={HOURS}"])
    month = watched_month(plan.settings, folder)
    return render(plan, None, None, None, datetime.datetime.now(datetime.UTC), make_page(*month))


def _open(tab: Tab, page: Path, scheme: Scheme) -> None:
    tab.look(width=_WIDTH, scheme=scheme)
    tab.open(page.resolve().as_uri())


def _top_of(tab: Tab, selector: str) -> float:
    """Where the first such element of the open page begins, in CSS pixels."""
    return float(tab.evaluate(f"document.querySelector('{selector}').getBoundingClientRect().top"))


def _picture(tab: Tab, top: float, end: float, target: Path) -> None:
    """A part of the open page, over its whole width."""
    target.write_bytes(tab.screenshot((0.0, top, float(_WIDTH), end - top)))
    sys.stdout.write(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    sys.exit(main())
