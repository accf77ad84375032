"""Tell what happened to one document, by the process that knows the readers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence


def explain(config: str, doc_id: str, overrides: Sequence[str]) -> int:
    """Print the story of a document; returns the exit code. Errors stand on stderr in one line."""
    words = (sys.executable, "-m", "spark_jobs.explain", "--config", config, "--doc-id", doc_id, *overrides)
    return subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode
