"""The backends that score instead of fp32 torch where they give its labels to 99.5 % or 98 % of the validation rows."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from benchmarks.scoring.ground import HOME, Ground
from mapring.contract import read_manifest
from spark_jobs.backends.probe import AUTO, Probe, choose

FP32 = "openvino"  # the fastest of those that compute in fp32 here
GATES: Mapping[str, float] = {"gated995": 0.995, "gated98": 0.98}
_MAX_METRIC_LOSS = 0.003
_BATCH_TOKENS = 2048


def chosen_backend(base: Ground, min_agreement: float, backend: str = AUTO) -> str:
    """The directory of the fastest backend that passes the gate, as a scoring task of one thread chooses it; made once.

    Of the one that `backend` names, where it names one.

    Raises:
        RuntimeError: none passes; the message says why.
    """
    probe = Probe(
        model_directory=base.model_directory,
        shards_directory=base.shards_directory,
        run_directory=str(HOME / "gates"),
        backend=backend,
        min_agreement=min_agreement,
        max_metric_loss=_MAX_METRIC_LOSS,
        batch_tokens=_BATCH_TOKENS,
    )
    choice = choose(probe, threads=1)
    for line in choice.lines:
        sys.stderr.write(f"agreement of {min_agreement:.1%}: {line}\n")
    if choice.directory is None:
        raise RuntimeError(f"{base.model_directory}: {choice.refusal}")
    return choice.directory


def name_of(directory: str) -> str:
    """Which backend was chosen."""
    return str(read_manifest(directory).details["backend"])
