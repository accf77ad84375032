"""One rank of the allreduce measurement: `<launcher> python -m benchmarks.allreduce_rank OUTPUT`.

Sums one fp32 tensor of each size over the ring that the launcher made, again and again; rank 0 writes the median
seconds of each size to OUTPUT as JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path

import torch

from mapring.settings.ring import Ring as RingSettings
from training.ring import open_ring

SIZES = tuple(1 << power for power in (16, 18, 20, 22, 24, 26))  # 64 KiB to 64 MiB
_BYTES, _LEAST, _MOST = 1 << 29, 12, 100  # bytes summed of one size, within these numbers of repeats
_WARM_UP = 3


def main() -> int:
    """Measure all sizes."""
    ring = open_ring(RingSettings())
    found = {}
    for size in SIZES:
        tensor, seconds = torch.zeros(size // 4), []
        for _ in range(_WARM_UP + max(_LEAST, min(_MOST, _BYTES // size))):
            ring.barrier()
            began = time.perf_counter()
            ring.allreduce_sum([tensor])
            seconds.append(time.perf_counter() - began)
        found[size] = statistics.median(seconds[_WARM_UP:])
    if ring.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps({"controller": ring.controller, "seconds": found}))
    ring.barrier()
    ring.shutdown()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # as the trainer leaves
