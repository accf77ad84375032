"""What the tables of faults of the stages share: a row, and how many rows a stage survives."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import pytest

from mapring.progress import say

_Ground = TypeVar("_Ground")
_PAGE = Path(__file__).resolve().parents[1] / "docs" / "failures.md"


class Fault(NamedTuple, Generic[_Ground]):
    """One row: `check` plants the fault, runs the stage, and raises AssertionError unless that ended as it must."""

    check: Callable[[_Ground], object]
    slow: bool

    @property
    def name(self) -> str:
        """What the row is called in results and in docs/failures.md."""
        return self.check.__name__


def fault_table(
    *, fast: Iterable[Callable[[_Ground], object]], slow: Iterable[Callable[[_Ground], object]]
) -> list[Fault[_Ground]]:
    """The rows of a stage: those of the fast suite, then those of the long tests."""
    return [*(Fault(check, slow=False) for check in fast), *(Fault(check, slow=True) for check in slow)]


def as_parameters(faults: Iterable[Fault[_Ground]]) -> list[object]:
    """The rows for `pytest.mark.parametrize`, the slow ones marked."""
    return [pytest.param(fault, id=fault.name, marks=[pytest.mark.slow] * fault.slow) for fault in faults]


def count_survived(checks: Iterable[tuple[str, Callable[[Path, Path], object]]]) -> int:
    """Run checks, each with a folder that all share and one of its own; how many ended as they must.

    The others are told with their reason.
    """
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, check in checks:
            own = Path(folder, name)
            own.mkdir()
            try:
                check(Path(folder, "shared"), own)
            except Exception as error:  # a check that fails in any way is one not survived
                say("faults", f"{name}: not survived: {error!r}")
            else:
                survived += 1
                say("faults", f"{name}: survived")
    return survived


def failures_page() -> tuple[str, str, str]:
    """docs/failures.md: what it says of preprocessing, of training, and of scoring."""
    preprocessing, _, rest = _PAGE.read_text().partition("\n## Training\n")
    training, _, rest = rest.partition("\n## Scoring\n")
    return preprocessing, training, rest.partition("\n## Alerts\n")[0]


def told_of_alerts() -> str:
    """What docs/failures.md says of alerts."""
    return _PAGE.read_text().partition("\n## Alerts\n")[2]


def rows_told(section: str) -> list[str]:
    """Names of the rows of a section's tables."""
    return re.findall(r"^\| .* \| `(\w+)` \|$", section, re.MULTILINE)
