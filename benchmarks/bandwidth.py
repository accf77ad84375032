"""Allreduce by size over three rings of two ranks, beside what the link could do.

The figure is the bus bandwidth 2 (N - 1) / N * S / t, the bytes that each rank must send by the time they take: it can
be compared between numbers of ranks, and its bound is the speed at which two ranks exchange bytes at all.
`python -m benchmarks.bandwidth` prints the last results as the tables of docs/ring.md.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.allreduce_rank import SIZES
from benchmarks.corpus import FOLDER
from benchmarks.link import exchange_seconds
from benchmarks.processes import run
from benchmarks.results import FOLDER as RESULTS
from benchmarks.results import Figure, figure, merge_figures, read_figures
from benchmarks.ring_model import RingModel, fit
from benchmarks.sentences import LOGS, RANKS, ROOT, our_environment

_BIN = Path(sys.executable).parent
_LAUNCHERS = {
    "horovod_gloo": [str(_BIN / "horovodrun"), "--gloo", "-np", str(RANKS)],
    "horovod_mpi": [
        *(str(_BIN / "mpirun"), "-np", str(RANKS)),
        *("--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"),
    ],
    "torch_gloo": [str(_BIN / "torchrun"), "--standalone", "--no-python", "--nproc-per-node", str(RANKS)],
}
# Horovod looks for work once a cycle: the trainer's 3 or 10 ms, paid once a step, would hide the ring's own time here.
_CYCLE_MS = "0.1"
_AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
_PREDICTED = (8, 64, 512)
_GRADIENT_BYTES = 43_000_000  # of the demo's model without its embeddings, in fp32
_MEGA = 1e6


def bandwidth_figures() -> list[Figure]:
    """Bus bandwidths in MB/s of every ring and size into results/allreduce.json; the largest of each is returned."""
    link = {size: exchange_seconds(size) for size in SIZES}
    seconds = {name: _measure(name) for name in _LAUNCHERS}
    found = [figure(f"link_{_label(size)}", size / link[size] / _MEGA, 0, "MB/s") for size in SIZES]
    for name, times in seconds.items():
        for size in SIZES:
            # Horovod is measured by torch's ring, and that by the link.
            peer = ("torch Gloo", seconds["torch_gloo"]) if name.startswith("horovod") else ("TCP", link)
            goal = _bus_bandwidth(size, peer[1][size])
            found.append(
                figure(f"{name}_{_label(size)}", _bus_bandwidth(size, times[size]), goal, "MB/s", peer=peer[0])
            )
    merge_figures("allreduce", found)
    largest = _label(SIZES[-1])
    shares = {name: _bus_bandwidth(SIZES[-1], times[SIZES[-1]]) for name, times in seconds.items()}
    best = max(shares["horovod_gloo"], shares["horovod_mpi"])
    return [
        figure(f"allreduce_{largest}_vs_torch_gloo", best / shares["torch_gloo"], 1.0, "ratio", peer="torch Gloo"),
        figure(f"allreduce_{largest}_vs_link", best / (SIZES[-1] / link[SIZES[-1]] / _MEGA), 0.5, "ratio", peer="TCP"),
    ]


def tables(figures: list[Figure]) -> str:
    """Measured bandwidths, the models fitted to them, and what these predict, as Markdown."""
    values = {figure.name: figure.value for figure in figures}
    names = [*_LAUNCHERS, "link"]
    lines = ["| Size | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for size in SIZES:
        cells = (f"{values[f'{name}_{_label(size)}']:,.0f}" for name in names)
        lines.append(f"| {_label(size)} | " + " | ".join(cells) + " |")
    lines += ["", "| Ring | a | b |" + "".join(f" {ranks} ranks |" for ranks in _PREDICTED)]
    lines.append("|---|---|---|" + "---|" * len(_PREDICTED))
    for name in _LAUNCHERS:
        model = _fitted(name, values)
        predicted = "".join(f" {model.seconds(_GRADIENT_BYTES, ranks) * 1e3:,.0f} ms |" for ranks in _PREDICTED)
        lines.append(f"| {name} | {model.latency * 1e6:,.0f} us | {model.bandwidth / _MEGA:,.0f} MB/s |{predicted}")
    return "\n".join(lines)


def _fitted(name: str, values: Mapping[str, float]) -> RingModel:
    factor = 2 * (RANKS - 1) / RANKS
    return fit({size: factor * size / _MEGA / values[f"{name}_{_label(size)}"] for size in SIZES}, RANKS)


def _bus_bandwidth(size: int, seconds: float) -> float:
    """MB/s of what each rank must send."""
    return 2 * (RANKS - 1) / RANKS * size / seconds / _MEGA


def _label(size: int) -> str:
    return f"{size >> 20}m" if size >= 1 << 20 else f"{size >> 10}k"


def _measure(name: str) -> dict[int, float]:
    """Median seconds of each size."""
    output = FOLDER / "training" / f"allreduce-{name}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    words = [*_LAUNCHERS[name], sys.executable, "-m", "benchmarks.allreduce_rank", str(output)]
    environment = {**our_environment(), "HOROVOD_CYCLE_TIME": _CYCLE_MS, **(_AS_ROOT if os.geteuid() == 0 else {})}
    run(words, log=LOGS / f"allreduce-{name}.log", cwd=ROOT, environment=environment)
    return {int(size): float(value) for size, value in json.loads(output.read_text())["seconds"].items()}


if __name__ == "__main__":
    sys.stdout.write(f"{tables(read_figures(RESULTS / 'allreduce.json'))}\n")
