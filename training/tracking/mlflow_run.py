"""A run of MLflow, by its own client; in a SQLite file of the training directory unless the user names a server.

MLflow refuses its older store of plain files, so there is none here.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mapring.errors import StageError, in_one_line
from mapring.passwords import without_users
from training.tracking.interface import Curve, Values

_TAG = "mapring.run"
_MOST_METRICS = 1000  # in one request; MLflow refuses more
_MOST_PARAMS = 100
_LONGEST_PARAM = 6000  # characters


class MlflowRun:
    """A run of MLflow, taken up again where there is one with this id as a tag.

    Args:
        uri: where MLflow keeps runs.
        artifacts: a directory of which MLflow shall believe that files of runs go there, none of which are made; None
            where the server knows one.
        run: id of the run.
        project: the experiment that it belongs to.
        settings: of the training, by dotted names; those of the run's first start stay.
        tags: fingerprints and the like, by name.

    Raises:
        StageError: the library is missing, or there are no runs to reach at `uri`.
    """

    def __init__(
        self,
        uri: str,
        artifacts: Path | None,
        *,
        run: str,
        project: str,
        settings: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else the library reports its use to its makers
        try:
            from mlflow.entities import Metric, Param
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise StageError(
                "train.tracking.mlflow: found no package mlflow, expected it; run `pip install 'mapring[mlflow]'`, or "
                "set train.tracking.mlflow=false"
            ) from None
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it creates
        self._metric = Metric
        try:
            self._client = MlflowClient(tracking_uri=uri)
            experiment = self._experiment(project, artifacts)
            found = self._client.search_runs([experiment], f"tags.`{_TAG}` = '{run}'", max_results=1)
            if found:
                self._run = found[0].info.run_id
                self._client.set_terminated(self._run, "RUNNING")
                metrics = found[0].data.metrics
            else:
                tagged = {_TAG: run, **{f"mapring.{name}": value for name, value in tags.items()}}
                self._run = self._client.create_run(experiment, tags=tagged, run_name=run).info.run_id
                params = iter([Param(name, str(value)[:_LONGEST_PARAM]) for name, value in settings.items()])
                while block := list(islice(params, _MOST_PARAMS)):
                    self._client.log_batch(self._run, params=block)
                metrics = {}
        except Exception as error:  # of MLflow, SQLAlchemy or the connection
            raise StageError(
                f"train.tracking.mlflow: cannot start a run at {without_users(uri)} ({in_one_line(error)}); check "
                "train.tracking.mlflow_uri, or set train.tracking.mlflow=false"
            ) from None
        curves: tuple[Curve, ...] = ("train", "validation")
        self._newest = {curve: int(metrics.get(f"{curve}/step", 0)) for curve in curves}
        self._is_concluded = any(name.startswith("test/") for name in metrics)

    def log(self, curve: Curve, rows: Sequence[Values]) -> None:
        """Add rows that the run has not."""
        new = [values for values in rows if values["step"] > self._newest[curve]]
        self._add([(f"{curve}/{name}", value, int(row["step"])) for row in new for name, value in row.items()])
        if new:
            self._newest[curve] = int(new[-1]["step"])

    def conclude(self, step: int, figures: Values) -> None:
        """Add metrics `test/...`, once."""
        if not self._is_concluded:
            self._add([(f"test/{name}", value, step) for name, value in figures.items()])

    def close(self) -> None:
        """Say that the run is finished; a training that goes on takes it up again."""
        self._client.set_terminated(self._run)

    def _experiment(self, name: str, artifacts: Path | None) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name, artifacts.as_uri() if artifacts else None))

    def _add(self, values: Sequence[tuple[str, float, int]]) -> None:
        now = int(time.time() * 1000)
        metrics = iter([self._metric(name, float(value), now, step) for name, value, step in values])
        while block := list(islice(metrics, _MOST_METRICS)):
            self._client.log_batch(self._run, metrics=block)
