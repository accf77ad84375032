"""Take documents out of a run directory, by the process that knows the readers; while it retires shards, alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from mapring.run_directory import RunDirectory
from mapring.settings import load_settings
from pipelines.alone import alone


def forget(config: str, ids: Sequence[str], overrides: Sequence[str], *, purge: bool, dry_run: bool) -> int:
    """Forget documents; returns the exit code. Errors stand on stderr in one line.

    Raises:
        StageError: shards are to be retired, and a scheduler is at work.
    """
    options = [*(["--purge"] if purge else []), *(["--dry-run"] if dry_run else [])]
    replaced = [word for override in overrides for word in ("--set", override)]
    words = (sys.executable, "-m", "spark_jobs.forget", "--config", config, *options, *replaced, "--", *ids)
    run = RunDirectory(load_settings(config, overrides).run_dir)
    with alone(run, config) if purge and not dry_run else nullcontext():
        return subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode
