"""One rank that evaluates a published model.

`<launcher> python -m benchmarks.models.evaluation_rank CONFIG OUTPUT [KEY=VALUE ...]`, with settings as the trainer
takes them. Rank 0 writes all figures of the test split to OUTPUT as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import transformers

from mapring.contract import read_manifest
from mapring.plan import make_plan
from training.ring import open_ring
from training.tasks import open_task


def main() -> int:
    """Evaluate."""
    config, output, *words = sys.argv[1:]
    plan = make_plan(config, words)
    ring = open_ring(plan.settings.ring)
    task = open_task(plan, ring)
    stock = read_manifest(plan.model_directory).details["transformers"]
    auto: Any = getattr(transformers, task.auto_class)
    model = auto.from_pretrained(Path(plan.model_directory, stock), local_files_only=True)
    found = task.evaluate(model, ring, plan.shards_directory, "test")
    if ring.rank == 0:
        Path(output).write_text(json.dumps(found))
    ring.barrier()
    ring.shutdown()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # as the trainer leaves
