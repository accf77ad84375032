"""Real disks that are full: a small file system, mounted in a name space of its own and gone with it."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from pipelines.archive import archive_bytes
from tests.spark_jobs.faults.ground import MAPRING, Ground, assert_clear_error, assert_identical

_SMALL, _LARGE = 64 << 10, 64 << 20
_SPARE = 16 << 10


def full_run_dir(ground: Ground) -> None:
    """The run directory's disk is full; after more room was made the same command publishes."""
    failed = _on_small_disk(ground, ground.own / "run")
    assert_clear_error(failed, "the disk is full: found", "bytes free, expected room for")


def full_spark_disk(ground: Ground) -> None:
    """The disk of what Spark shuffles is full, with room for the job's code and not for the first shuffle."""
    spark = ground.own / "spark"
    failed = _on_small_disk(ground, spark, f"spark.conf.spark.local.dir={spark}", room=len(archive_bytes()) + _SPARE)
    assert_clear_error(failed, f"spark.local.dir={spark}", "make room there")


def _on_small_disk(
    ground: Ground, place: Path, *overrides: str, room: int = _SMALL
) -> subprocess.CompletedProcess[str]:
    """Run on a small disk at `place`, enlarge that, run again, and copy away what is there, all in one name space.

    Returns the first run; that it published nothing is looked up before the second.
    """
    place.mkdir()
    plan = ground.plan(*overrides)
    copied = ground.own / "copied"
    job = shlex.join([MAPRING, "preprocess", plan.config, *plan.overrides])
    verify = shlex.join([MAPRING, "verify", plan.run.root])
    script = f"""
        mount -t tmpfs -o size={room} small {shlex.quote(str(place))} || exit 90
        {job} > {shlex.quote(str(ground.own))}/first 2>&1
        echo $? > {shlex.quote(str(ground.own))}/code
        find {shlex.quote(plan.shards_directory)} -name published.json | grep . && exit 91
        mount -o remount,size={_LARGE} {shlex.quote(str(place))} || exit 92
        {job} && {verify} && cp -r {shlex.quote(plan.run.root)} {shlex.quote(str(copied))}
    """
    command = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}; {done.stdout}{done.stderr}"
    assert_identical(ground.plan(f"run_dir={copied}"), ground.undisturbed())
    code, said = (ground.own / "code").read_text(), (ground.own / "first").read_text()
    return subprocess.CompletedProcess(command, int(code), "", said)
