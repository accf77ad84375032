"""A quick start for Spark drivers that run here: `python -m pipelines.class_archive` archives the classes they load.

A driver's JVM spends most of its first seconds on loading and checking some 20,000 classes. Java keeps them in an
archive that is mapped into memory instead (class data sharing, JEP 350). From the command to the end of the first
Spark job that took 4.3 s instead of 9.5 s on 2 cores. The archive knows the jars by path, size and time: it belongs
to one environment and is kept in it. A JVM that finds it out of date starts without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from mapring.plan import make_plan
from mapring.progress import say
from pipelines.archive import write_archive
from pipelines.stages import CLASS_ARCHIVE, SHORT_LIVED_JVM, stage_command

_SEED_WORDS = "the quick brown fox jumps over the lazy dog near a bank of the river and sleeps there until noon"
_LOG_LINES = 5


def archive_classes(target: Path) -> bool:
    """Run the first stage on a few texts and keep the classes that it has loaded; returns whether Java did."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(f".{os.getpid()}")
    with tempfile.TemporaryDirectory(prefix="mapring-") as name:
        folder = Path(name)
        plan = make_plan(str(_small_pipeline(folder, fresh)))
        command = stage_command("preprocess", plan, write_archive(folder / "mapring.zip"))
        environment = {**os.environ, **command.environment}
        ended = subprocess.run(command.words, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode or not fresh.exists():
        last = "\n".join(f"{ended.stdout}{ended.stderr}".splitlines()[-_LOG_LINES:])
        say("setup", f"Java has not archived Spark's classes, so stages start slower; exit {ended.returncode}:\n{last}")
        fresh.unlink(missing_ok=True)
        return False
    fresh.replace(target)
    return True


def _small_pipeline(folder: Path, archive: Path) -> Path:
    """A pipeline over a few texts, with near-duplicates and without a tokenizer, so that it needs nothing else."""
    words = _SEED_WORDS.split()
    texts = "".join(f"{' '.join(words[turn:] + words[:turn])} {turn % 9}\n" for turn in range(len(words))) * 9
    (folder / "texts.txt").write_text(texts)
    (folder / "config.json").write_text("{}")
    java = (f"-XX:ArchiveClassesAtExit={archive}", *SHORT_LIVED_JVM)
    inputs = [{"name": "texts", "path": str(folder / "texts.txt"), "format": "text"}]
    settings = {
        "name": "classes",
        "run_dir": str(folder / "run"),
        "preprocess": {"inputs": inputs, "tokenizer": None, "duplicates": {"near": {"enabled": True}}},
        "train": {"model": str(folder)},
        "score": {"inputs": inputs},
        "spark": {"conf": {"spark.driver.extraJavaOptions": " ".join(java)}},
    }
    path = folder / "classes.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


if __name__ == "__main__":
    sys.exit(0 if archive_classes(CLASS_ARCHIVE) else 1)
