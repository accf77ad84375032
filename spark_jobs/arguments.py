"""The command line of the Spark jobs: `--config C [KEY=VALUE ...]`, errors in one line, exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from mapring.errors import InputError, MapringError
from mapring.plan import Plan, make_plan


def run_main(stage: Callable[[Plan], None], arguments: Sequence[str]) -> int:
    """Run one stage from its command line; returns the exit code (2 for a wrong setting, else 1 for an error)."""
    parser = argparse.ArgumentParser(description=sys.modules[stage.__module__].__doc__)
    parser.add_argument("--config", required=True, help="the pipeline's YAML, a path or a URI")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings that replace those of the YAML")
    options = parser.parse_args(arguments)
    try:
        stage(make_plan(options.config, options.overrides))
    except MapringError as error:
        return _fail(error, error.exit_code)
    except PySparkException as error:
        inner = _raised_in_worker(str(error))
        if inner is None:
            raise
        return _fail(inner, InputError.exit_code)
    finally:
        session = SparkSession.getActiveSession()
        if session is not None:
            session.stop()
    return 0


def _fail(error: object, exit_code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return exit_code


def _raised_in_worker(text: str) -> str | None:
    """The message of one of our own errors that a Python worker raised, taken out of Spark's stack trace."""
    marker = "mapring.errors."
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith(marker) and ": " in stripped:
            return stripped.split(": ", 1)[1]
    return None
