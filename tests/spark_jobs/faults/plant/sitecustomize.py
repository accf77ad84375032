"""Put on PYTHONPATH, this file is run by every Python process of a job and plants one fault at one function.

FAULT holds JSON: `point` (MODULE:FUNCTION), `when` (before, after), `where` (task, driver), `victim` (self, jvm,
none), `seconds` to wait first, `share` of the calls, `most` faults in all, `first_attempts` of a task that are hit,
`match` (part of the first argument), `program` (part of the command line of the drivers that are meant), and
`folder`, where each call in a task leaves a file STAGE-PARTITION-ATTEMPT and each fault a file fault-N.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

FAULT: dict[str, Any] = json.loads(os.environ.get("FAULT", "null"))


def hit(argument: object) -> None:
    """Do what the fault says, unless this call is none that it means."""
    task = context()
    if (task is None) == (FAULT["where"] == "task") or FAULT["match"] not in str(argument):
        return
    if task is None and FAULT["program"] not in " ".join(sys.argv):
        return
    folder = Path(FAULT["folder"])
    if task is not None:
        (folder / f"{task.stageId()}-{task.partitionId()}-{task.attemptNumber()}").touch()
        if task.attemptNumber() >= FAULT["first_attempts"]:
            return
    if random.SystemRandom().random() >= FAULT["share"] or not taken(folder):
        return
    time.sleep(FAULT["seconds"])
    if FAULT["victim"] != "none":
        os.kill(os.getpid() if FAULT["victim"] == "self" else java(), signal.SIGKILL)
        time.sleep(600)  # until the death of the JVM ends this process, too


def context() -> Any:
    """The task that this process is in, or None in the driver."""
    pyspark = sys.modules.get("pyspark")
    return None if pyspark is None else pyspark.TaskContext.get()


def taken(folder: Path) -> bool:
    """Take one of the faults that are left, so that all processes together make `most`."""
    for number in range(FAULT["most"]):
        try:
            (folder / f"fault-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return True
    return False


def java() -> int:
    """The nearest JVM above this process: of a worker its executor's, or in local mode the driver's."""
    import psutil

    return next(parent.pid for parent in psutil.Process().parents() if parent.name() == "java")


def planted(function: Any) -> Any:
    """The function with the fault before or after it."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if FAULT["when"] == "before":
            hit(arguments[0] if arguments else "")
        result = function(*arguments, **named)
        if FAULT["when"] == "after":
            hit(arguments[0] if arguments else "")
        return result

    return call


class Planter(importlib.abc.MetaPathFinder):
    """Plants the fault in its module as soon as that is loaded."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        module_name, function = FAULT["point"].split(":")
        if name != module_name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_and_plant(module: Any) -> None:
            load(module)
            if module.__name__ == module_name:  # one loader serves all modules of an archive
                setattr(module, function, planted(getattr(module, function)))

        spec.loader.exec_module = load_and_plant
        return spec


if FAULT and FAULT["point"].startswith("os:"):
    setattr(os, FAULT["point"][3:], planted(getattr(os, FAULT["point"][3:])))
elif FAULT:
    sys.meta_path.insert(0, Planter())
