"""The command line of the Spark jobs: `--config C [KEY=VALUE ...]`, errors in one line, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from mapring.errors import MapringError, StageError
from mapring.plan import Plan, make_plan
from spark_jobs.failures import explain_failure
from spark_jobs.light_main import config_parser, fail


def run_main(stage: Callable[[Plan], None], arguments: Sequence[str]) -> int:
    """Run one stage from its command line; returns the exit code (2 for a wrong setting, else 1 for an error)."""
    options = config_parser(sys.modules[stage.__module__].__doc__).parse_args(arguments)
    try:
        stage(make_plan(options.config, options.overrides))
    except MapringError as error:
        return fail(error, error.exit_code)
    except (PySparkException, Py4JError, OSError) as error:
        told = explain_failure(error)
        if told is None:
            raise
        return fail(told, StageError.exit_code)
    return 0


def leave(code: int) -> NoReturn:
    """End this process with an exit code at once; spark-submit, which waits for it, then stops the Spark session.

    Stopped from here, Spark's server of accumulators alone takes up to half a second to notice, and as long again
    goes by at Python's own end.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
