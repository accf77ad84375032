"""The demo's report in a browser: `python -m benchmarks.applications report`.

It needs Chromium and the demo's run (`make demo`); `DEMO_RUN` names its run directory where that is not `runs/demo`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.browser.chromium import open_tab
from benchmarks.browser.page import check_page
from benchmarks.results import Figure, figure

VARIABLE = "DEMO_RUN"
_ERRORS = ("console error", "request")  # a request is one too many, also where it is answered


def report_figures() -> list[Figure]:
    """What is wrong with the page in light and dark, on a desktop and on a phone; each problem is printed."""
    page = demo_report()
    with open_tab() as tab:
        problems = check_page(tab, page)
    for problem in problems:
        sys.stdout.write(f"{page}: {problem}\n")
    errors = sum(problem.kind in _ERRORS for problem in problems)
    return [
        figure("report_console_errors", errors, 0, "errors", better="lower"),
        figure("report_page_problems", len(problems), 0, "problems", better="lower"),
        figure("report_megabytes", page.stat().st_size / 1e6, 3, "MB", better="lower"),
    ]


def demo_report() -> Path:
    """The page. Raises FileNotFoundError where it is not there."""
    page = Path(os.environ.get(VARIABLE, "runs/demo"), "report.html")
    if not page.exists():
        raise FileNotFoundError(f"{page}: found no report; run `make demo`, or set {VARIABLE} to its run directory")
    return page
