"""The first task of a DAG, in mapring's own environment: `python -m pipelines.dag_check --archive A --config C`.

It holds the settings against the world and the archive against the code before anything is started, and prints on its
last line, as JSON, what the driver's JVM of each Spark stage is to be told (`stages.driver_options`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from mapring import storage
from mapring.errors import MapringError, SettingsError
from mapring.plan import make_plan
from mapring.progress import say
from pipelines.archive import archive_bytes
from pipelines.dag_tasks import SPARK_STAGES
from pipelines.stages import driver_options, published, stages_of


def main(arguments: Sequence[str]) -> int:
    """Check a pipeline from a command line; the exit code (2 for a wrong setting, else 1 for an error)."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.dag_check", description=__doc__.partition("\n")[0])
    parser.add_argument("--archive", required=True, help="what spark-submit's --py-files will be given")
    parser.add_argument("--config", required=True, help="the pipeline's YAML, a path or a URI")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings that replace those of the YAML")
    given = parser.parse_args(arguments)
    try:
        sys.stdout.write(f"{json.dumps(check(given.config, given.overrides, given.archive))}\n")
    except MapringError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def check(config: str, overrides: Sequence[str], archive: str) -> dict[str, dict[str, str]]:
    """What the driver of each Spark stage is to be told, after telling what is there already.

    Raises:
        SettingsError: a setting is wrong, or the archive is not of this code.
    """
    plan = make_plan(config, overrides)
    refuse_other_code(archive)
    stages = [stage for stage in stages_of(plan.settings) if stage in SPARK_STAGES]
    for stage in stages:
        say("check", f"{stage}: {published(stage, plan) or 'has something to do'}")
    return {stage: driver_options(stage, plan) for stage in stages}


def refuse_other_code(archive: str) -> None:
    """Raise SettingsError where an archive is missing, or of other code than the one that runs here."""
    if not storage.exists(archive):
        raise SettingsError(f"{archive}: found no such file, expected the archive of mapring's code; run `make dist`")
    if storage.read_bytes(archive) != archive_bytes():
        raise SettingsError(
            f"{archive}: found other code than that of {sys.executable}; executors would run it: run `make dist` again"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
