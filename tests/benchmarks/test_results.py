"""Result files: every one in the repository has the agreed form."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.results import FOLDER, Figure, machine, read_figures, table, write_figures

FIGURE = Figure(
    name="speed",
    value=2.0,
    goal=1.5,
    better="higher",
    unit="x",
    peer="other",
    command="c",
    date="2026-01-01",
    machine="m",
)


def test_figures_survive_their_file(tmp_path: Path) -> None:
    path = write_figures("x", [FIGURE], tmp_path)
    assert read_figures(path) == [FIGURE]
    assert "reached" in table([FIGURE])


def test_a_goal_is_reached_on_its_good_side_only() -> None:
    values = {**vars(FIGURE), "value": 1.0}
    assert not Figure(**values).reached
    assert Figure(**{**values, "better": "lower"}).reached


def test_the_machine_is_named() -> None:
    assert "cores" in machine() and "GiB" in machine()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.name)
def test_results_in_the_repository_have_the_form(path: Path) -> None:
    figures = read_figures(path)
    assert figures and len({figure.name for figure in figures}) == len(figures)
    assert all(figure.better in ("higher", "lower") and figure.date and figure.machine for figure in figures)
