"""Settings of where training curves go besides metrics.jsonl and TensorBoard."""

from __future__ import annotations

from pydantic import model_validator

from mapring.settings.base import Section, execution


class Tracking(Section):
    """Services of experiments that curves, figures and settings of a training are also sent to, by rank 0 alone."""

    wandb: bool = execution(
        False,
        description="Weights & Biases; offline, below wandb/ of the training directory, unless WANDB_API_KEY or "
        "WANDB_MODE is set.",
    )
    mlflow: bool = execution(False, description="MLflow.")
    project: str | None = execution(
        None, description="Project of W&B, experiment of MLflow; none for the pipeline's name.", min_length=1
    )
    mlflow_uri: str | None = execution(
        None,
        description="Where MLflow keeps runs, such as http://HOST:5000; none for MLFLOW_TRACKING_URI, or mlflow.db in "
        "the training directory.",
        min_length=1,
    )

    @model_validator(mode="after")
    def _settings_are_used(self) -> Tracking:
        if self.mlflow_uri is not None and not self.mlflow:
            raise ValueError("mlflow_uri: found it without mlflow; set mlflow=true, or remove it")
        if self.project is not None and not (self.wandb or self.mlflow):
            raise ValueError("project: found it without wandb and mlflow; set one of them, or remove it")
        return self
