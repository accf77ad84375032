"""One task that measures a model's backends where they will run, holds them against fp32, and publishes the chosen one.

It knows no Spark: a task calls it, so that it sees an executor's CPU and its threads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from mapring import lineage
from mapring.contract import Manifest, is_published, read_manifest
from mapring.errors import StageError, in_one_line
from mapring.machine import cpu_features
from mapring.run_directory import RunDirectory
from mapring.settings.backends import BACKENDS, UNGATED, BackendName, backend_refusal
from spark_jobs.backends.candidates import Candidates, Floats, all_logits, finite_logits, speed
from spark_jobs.backends.gate import Figures, compare, refusal
from spark_jobs.backends.published import link_to, publish_backend
from spark_jobs.backends.rows import Rows, read_rows
from spark_jobs.local_copy import local_copy
from spark_jobs.published_model import DAMAGED_MODEL

GATE_ROWS = 5_000  # agreement of 99.5 % is then known to 0.2 points (two standard deviations)
CALIBRATION_ROWS = 512
AUTO = "auto"
_ROWS_ALONE = 64  # also computed one by one, to tell what batches change


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What is to be chosen; small, for it travels to the task. `backend` is a name, or auto."""

    model_directory: str
    shards_directory: str
    run_directory: str
    backend: str
    min_agreement: float
    max_metric_loss: float
    batch_tokens: int


class Choice(NamedTuple):
    """`directory` of the published backend, None where `refusal` says why there is none; `lines` for the console."""

    directory: str | None
    refusal: str | None
    lines: list[str]


class _Candidate(NamedTuple):
    """One row of the manifest's `candidates`; `refused` is None for the chosen one."""

    name: BackendName
    documents_per_second: float | None
    figures: Figures | None
    refused: str | None


def choose(probe: Probe, *, threads: int, device: str = "cpu") -> Choice:
    """Choose and publish; does nothing but say so where this was published before.

    Raises:
        PublishedError: model or shards are not published, or damaged.
        StageError: what is published cannot be judged: no classifier, or no validation rows.
    """
    model, shards = read_manifest(probe.model_directory), read_manifest(probe.shards_directory)
    _check(probe, model, shards)
    settings = {key: getattr(probe, key) for key in ("backend", "min_agreement", "max_metric_loss")}
    machine = {"cpu": cpu_features(), "threads": threads, "device": device.partition(":")[0]}
    inputs = [
        link_to("model", probe.model_directory, model.fingerprint),
        link_to("shards", probe.shards_directory, shards.fingerprint),
    ]
    rows = {"validation": GATE_ROWS, "calibration": CALIBRATION_ROWS}
    fingerprint = lineage.backend_fingerprint(inputs, settings, rows, machine)
    directory = RunDirectory(probe.run_directory).backend(fingerprint)
    if is_published(directory):
        return Choice(directory, None, [f"backend {read_manifest(directory).details['backend']}, chosen before"])
    validation = read_rows(probe.shards_directory, shards, "validation", GATE_ROWS)
    calibration = read_rows(probe.shards_directory, shards, "train", CALIBRATION_ROWS)
    with tempfile.TemporaryDirectory() as folder:
        candidates = Candidates(
            model=model,
            local=local_copy(probe.model_directory, model, DAMAGED_MODEL),
            folder=Path(folder),
            calibration=calibration.input_ids,
            threads=threads,
            device=device,
            batch_tokens=probe.batch_tokens,
        )
        found = list(_measure(candidates, _names(probe.backend), validation, probe))
        lines = [_in_words(candidate) for candidate in found]
        chosen = next((candidate.name for candidate in found if candidate.refused is None), None)
        if chosen is None:
            return Choice(None, f"score.backend: {lines[-1]}", lines)
        is_own = publish_backend(
            directory,
            name=chosen,
            fingerprint=fingerprint,
            graph=candidates.graph(chosen),
            golden=_golden(candidates, chosen),
            settings=settings,
            inputs=inputs,
            details={
                "candidates": [_as_json(candidate) for candidate in found],
                "rows": {"validation": len(validation.input_ids), "calibration": len(calibration.input_ids)},
                "machine": machine,
                "libraries": lineage.library_versions("backend"),
                "margin": candidates.margin(chosen),
            },
        )
    if not is_own:  # another run was faster, and scores with its choice, too
        return Choice(
            directory, None, [f"backend {read_manifest(directory).details['backend']}, chosen by another run"]
        )
    return Choice(directory, None, lines)


def _names(backend: str) -> tuple[BackendName, ...]:
    return BACKENDS if backend == AUTO else tuple(name for name in BACKENDS if name == backend)


def _check(probe: Probe, model: Manifest, shards: Manifest) -> None:
    why = backend_refusal(probe.backend, model.details["task"], bool(shards.details.get("pairs")))
    if why is not None:
        raise StageError(f"score.{why}")
    if not shards.details["splits"]["validation"]["rows"]:
        raise StageError(
            f"score.backend: found {probe.backend}, but no validation rows to hold it against fp32; set "
            "preprocess.splits.validation above 0, or score.backend=torch"
        )


def _measure(candidates: Candidates, names: tuple[BackendName, ...], rows: Rows, probe: Probe) -> Iterator[_Candidate]:
    """Candidates from the fastest to the slowest, each refused but for the first that passes the gate."""
    speeds: dict[BackendName, float] = {}
    for name in names:
        try:
            speeds[name] = speed(candidates.load(name), rows.input_ids)
        except Exception as error:  # whatever a runtime does not like about a model, the others may
            yield _Candidate(name, None, None, f"cannot be loaded here ({_told(error)})")
    reference: Floats | None = None
    is_chosen = False
    for name in sorted(speeds, key=speeds.__getitem__, reverse=True):
        if is_chosen:
            yield _Candidate(name, speeds[name], None, "slower than the chosen one")
            continue
        if reference is None:
            reference = finite_logits(candidates.load(UNGATED), rows.input_ids, probe.shards_directory)
        try:
            forward = candidates.load(name)
            logits = reference if name == UNGATED else all_logits(forward, rows.input_ids)
            alone = np.concatenate([all_logits(forward, [row]) for row in rows.input_ids[:_ROWS_ALONE]])
        except Exception as error:
            yield _Candidate(name, speeds[name], None, f"refused, cannot be computed here ({_told(error)})")
            continue
        figures = compare(reference, logits, rows.label_ids, alone)
        refused = refusal(figures, probe.min_agreement, probe.max_metric_loss)
        is_chosen = refused is None
        yield _Candidate(name, speeds[name], figures, refused)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {in_one_line(error)}"


def _golden(candidates: Candidates, name: BackendName) -> Floats:
    """The backend's own logits (N, C) of the model's golden rows."""
    path = candidates.local / candidates.model.details["golden"]
    sequences = pq.read_table(path, columns=["input_ids"]).column("input_ids").to_pylist()
    return np.asarray(finite_logits(candidates.load(name), sequences, str(path)))


def _as_json(candidate: _Candidate) -> Mapping[str, Any]:
    figures = None if candidate.figures is None else asdict(candidate.figures)
    return {**candidate._asdict(), "figures": figures}


def _in_words(candidate: _Candidate) -> str:
    name, rate, figures, refused = candidate
    told = f"backend {name}" if rate is None else f"backend {name} {rate:,.0f} docs/s"
    if figures is None:
        return f"{told}: {refused}"
    if refused is not None:
        return f"{told}: refused, {refused}"
    return f"{told}: chosen, {figures.in_words()}"
