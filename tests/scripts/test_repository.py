"""Rules about the repository itself: targets, the demo's settings, module names, words that must not stand in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mapring.settings import load_settings
from scripts import fetch_demo_data

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w./-])/(work|root|home)/\w",
    "a private document": r"\bDESIGN\.md\b",
    "a package index host": r"\b(pypi\.org|pythonhosted\.org|download\.pytorch\.org|conda\.anaconda\.org)\b",
    "an issue number": r"(?i)\b(issue|fixes|closes|resolves) #\d+",
}


def test_make_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):(?!=)", text, re.MULTILINE))
    done = subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT)], capture_output=True, text=True, check=True, timeout=60
    )
    listed = {line.split()[1]: line.split(maxsplit=2)[2] for line in done.stdout.splitlines()}
    assert set(listed) == targets
    assert {"setup", "demo", "test", "test-slow", "lint", "bench", "dist", "docs", "clean"} <= targets
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert set(phony.group(1).split()) == targets


def test_the_demo_reads_what_the_script_writes() -> None:
    settings = load_settings(str(ROOT / "conf" / "demo.yaml"))
    folder = fetch_demo_data.TARGET.relative_to(ROOT)
    assert [source.path for source in settings.preprocess.inputs] == [
        str(folder / name) for name in fetch_demo_data.DOMAINS.values()
    ]
    assert [source.path for source in settings.score.inputs] == [str(folder / fetch_demo_data.UNSEEN)]
    assert settings.ring.ranks == 2
    assert all(source.label_column == "label" for source in settings.preprocess.inputs)


@pytest.mark.parametrize("folder", ["spark_jobs", "scripts"])
def test_no_module_takes_a_standard_library_name(folder: str) -> None:
    """A script's own folder comes first on sys.path, so such a module would hide the standard one."""
    names = {path.stem for path in (ROOT / folder).rglob("*.py")} | {
        path.name for path in (ROOT / folder).rglob("*") if path.is_dir()
    }
    assert names
    assert not names & sys.stdlib_module_names


def test_no_package_takes_a_standard_library_name() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert {"mapring", "spark_jobs", "training", "pipelines"} <= packages
    assert not packages & sys.stdlib_module_names


def test_no_file_holds_a_forbidden_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {what}"
        for path in repository_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        for what, pattern in FORBIDDEN.items()
        if re.search(pattern, line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a path of somebody's machine", "see /ro" + "ot/notes"),
        ("a private document", "as in DESIGN" + ".md"),
        ("a package index host", "https://py" + "pi.org/simple"),
        ("an issue number", "Fixes #" + "12"),
    ],
)
def test_forbidden_words_are_found(what: str, line: str) -> None:
    assert re.search(FORBIDDEN[what], line)


def repository_files() -> list[Path]:
    """What git tracks, and what it would track."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nobody knows which files belong to the project")
    names = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split("\0")
    files = [ROOT / name for name in names if name and (ROOT / name).is_file()]
    assert len(files) > 20
    return files
