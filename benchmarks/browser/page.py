"""A page as its readers see it: what is wrong with it in a browser, at the widths and in the colours that they have.

Told are errors of the console, requests to anywhere, plots without marks or size, labels of plots that are cut off or
lie on each other, links to places that are not there, pages that scroll sideways, and texts with less contrast than
WCAG 2.1 asks for (4.5, of large texts 3; level AA).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from benchmarks.browser.chromium import Scheme, Tab

PHONE, DESKTOP = 390, 1280
LOOKS: tuple[tuple[int, Scheme], ...] = ((DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark"))


@dataclass(frozen=True)
class Problem:
    """Something that is wrong: its kind, what it is, and how the page was looked at."""

    kind: str
    what: str
    width: int
    scheme: Scheme

    def __str__(self) -> str:
        return f"{self.kind} at {self.width} px, {self.scheme}: {self.what}"


def check_page(tab: Tab, page: Path, looks: Sequence[tuple[int, Scheme]] = LOOKS) -> list[Problem]:
    """Open a file in each look, with everything that is folded unfolded, and tell what is wrong."""
    uri = page.resolve().as_uri()
    script = files("benchmarks.browser").joinpath("page.js").read_text()
    found = []
    for width, scheme in looks:
        tab.look(width=width, scheme=scheme)
        tab.take_events()
        tab.open(uri)
        looked = [(one["kind"], one["what"]) for one in tab.evaluate(script)]
        told = [problem for event in tab.take_events() if (problem := _of_event(event, uri)) is not None]
        found += [Problem(kind, what, width, scheme) for kind, what in (*told, *looked)]
    return found


def _of_event(event: Mapping[str, Any], uri: str) -> tuple[str, str] | None:
    """An error or a request among the events of a tab."""
    values = event.get("params", {})
    match event.get("method"):
        case "Network.requestWillBeSent":
            asked = str(values["request"]["url"])
            return None if asked == uri else ("request", asked)
        case "Runtime.exceptionThrown":
            return "console error", str(values["exceptionDetails"].get("text"))
        case "Runtime.consoleAPICalled" if values["type"] in ("error", "warning", "assert"):
            return "console error", str([part.get("value") for part in values["args"]])
        case "Log.entryAdded" if values["entry"]["level"] in ("error", "warning"):
            return "console error", str(values["entry"]["text"])
    return None
