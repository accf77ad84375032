"""One rank of a training that is killed at a point: `python -m tests.training.faults.killed_rank POINT RANK MARK ...`.

What follows are the words for `training.train`. The rank makes the file MARK right before it kills itself.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

from tests.training.faults.points import planted, point_of
from training import train


def main() -> int:
    """Train, as far as it goes; the exit code."""
    name, rank, mark, *arguments = sys.argv[1:]

    def die() -> None:
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)

    own = os.environ.get("HOROVOD_RANK", os.environ.get("OMPI_COMM_WORLD_RANK"))
    with planted(point_of(name), die) if own == rank else nullcontext():
        return train.main(arguments)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # as training.train does
