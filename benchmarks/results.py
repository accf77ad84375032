"""Result files of benchmarks: one list of figures each, with goal, peer, command, date and machine."""

from __future__ import annotations

import datetime
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

FOLDER = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure; `better` tells on which side of the goal it should lie."""

    name: str
    value: float
    goal: float
    better: Literal["higher", "lower"]
    unit: str
    peer: str | None
    command: str
    date: str
    machine: str

    @property
    def reached(self) -> bool:
        """Whether the value is on the good side of the goal."""
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


def machine() -> str:
    """Processor, cores and memory in words."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    memory = psutil.virtual_memory().total / (1 << 30)
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB"


def today() -> str:
    """The date in UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def write_figures(name: str, figures: list[Figure], folder: Path = FOLDER) -> Path:
    """Write `<folder>/<name>.json`; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    return path


def figure(
    name: str,
    value: float,
    goal: float,
    unit: str,
    *,
    better: Literal["higher", "lower"] = "higher",
    peer: str | None = None,
) -> Figure:
    """A figure measured now, on this machine, by `make bench`."""
    return Figure(
        name=name,
        value=value,
        goal=goal,
        better=better,
        unit=unit,
        peer=peer,
        command="make bench",
        date=today(),
        machine=machine(),
    )


def merge_figures(name: str, figures: list[Figure], folder: Path = FOLDER) -> Path:
    """Replace these figures in `<folder>/<name>.json` and leave its others; returns its path."""
    path = folder / f"{name}.json"
    merged = {old.name: old for old in (read_figures(path) if path.exists() else [])}
    merged.update({new.name: new for new in figures})
    return write_figures(name, list(merged.values()), folder)


def read_figures(path: Path) -> list[Figure]:
    """Read a result file. Raises TypeError where a field is missing or unknown."""
    return [Figure(**entry) for entry in json.loads(path.read_text())]


def table(figures: list[Figure]) -> str:
    """The figures as lines for a terminal."""
    rows = [
        f"{figure.name:36} {figure.value:12.4g} {figure.unit:8} goal {'>=' if figure.better == 'higher' else '<='} "
        f"{figure.goal:g} {'reached' if figure.reached else 'MISSED'}"
        for figure in figures
    ]
    return "\n".join(rows)
