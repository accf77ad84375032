"""The command line of the Spark jobs: `--config C [KEY=VALUE ...]`, errors in one line, exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from mapring.errors import MapringError, StageError
from mapring.plan import Plan, make_plan
from spark_jobs.failures import explain_failure


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
    except (PySparkException, Py4JError, OSError) as error:
        told = explain_failure(error)
        if told is None:
            raise
        return _fail(told, StageError.exit_code)
    return 0


def leave(code: int) -> NoReturn:
    """End this process with an exit code at once; spark-submit, which waits for it, then stops the Spark session.

    Stopped from here, Spark's server of accumulators alone takes up to half a second to notice, and as long again
    goes by at Python's own end.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(error: object, exit_code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return exit_code
