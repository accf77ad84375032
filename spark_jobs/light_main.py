"""The command line of jobs, and all there is of it for those that start no Spark: errors in one line, exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable

from mapring.errors import MapringError


def config_parser(description: str | None, *, overrides: bool = True) -> argparse.ArgumentParser:
    """A parser of `--config C`, and with `overrides` of `KEY=VALUE` words."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", required=True, help="the pipeline's YAML, a path or a URI")
    if overrides:
        parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings that replace those of the YAML")
    return parser


def print_lines(lines: Callable[[], Iterable[str]]) -> int:
    """Print what comes, line by line; returns the exit code (2 for a wrong setting, else 1 for an error)."""
    try:
        for line in lines():
            sys.stdout.write(f"{line}\n")
    except MapringError as error:
        return fail(error, error.exit_code)
    return 0


def fail(error: object, exit_code: int) -> int:
    """Tell an error as users see it; returns the exit code."""
    sys.stderr.write(f"error: {error}\n")
    return exit_code
