"""What the report tells of a training: its model, its curves, and how far its probabilities can be trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mapring import storage
from mapring.contract import Manifest, is_published, read_manifest
from mapring.plan import Plan
from pipelines import plots
from pipelines.report_mistakes import Wrong, gather_mistakes

_CURVES = {"learning_rate": "learning rate", "samples_per_second": "samples/s"}


@dataclass(frozen=True, kw_only=True)
class Model:
    """The trained model, its worst mistakes, and the curves of its training (none where only the model was kept)."""

    directory: str
    manifest: Manifest
    steps: Sequence[Mapping[str, Any]]
    validation: Sequence[Mapping[str, Any]]
    mistakes: Sequence[Wrong]


def gather_model(plan: Plan) -> Model | None:
    """The model of a plan; None where it is not published."""
    if not is_published(plan.model_directory):
        return None
    manifest = read_manifest(plan.model_directory)
    return Model(
        directory=plan.model_directory,
        manifest=manifest,
        steps=read_lines(plan.training_directory, "metrics.jsonl"),
        validation=read_lines(plan.training_directory, "validation.jsonl"),
        mistakes=gather_mistakes(plan.model_directory, manifest, plan.shards_directory),
    )


def read_lines(training_directory: str, name: str) -> list[dict[str, Any]]:
    """The lines of a file of curves; a last line that a kill has cut is left out."""
    uri = storage.join(training_directory, name)
    if not storage.exists(uri):
        return []
    steps = []
    for line in storage.read_bytes(uri).splitlines():
        try:
            steps.append(json.loads(line))
        except ValueError:
            continue
    return steps


def draw_training(model: Model) -> dict[str, str]:
    """SVG of `loss`, `learning_rate`, `throughput` and `calibration`; empty where there is nothing to draw."""
    drawn = {"loss": plots.line_chart(loss_lines(model), title="Training loss", x_label="step", y_label="loss (nats)")}
    for key, label in _CURVES.items():
        points = [(step["step"], step[key]) for step in model.steps]
        is_rate = key == "learning_rate"
        drawn["learning_rate" if is_rate else "throughput"] = plots.line_chart(
            [plots.Line(label, points if is_rate else plots.smooth(points))],
            title=label.capitalize(),
            x_label="step",
            y_label=label,
        )
    lines = calibration_lines(model)
    drawn["calibration"] = plots.line_chart(lines, title="Calibration", x_label="confidence", y_label="accuracy")
    return drawn


def loss_lines(model: Model) -> list[plots.Line]:
    """Of each step, smoothed, and on the validation split where it was measured on the way."""
    loss = [(step["step"], step["loss"]) for step in model.steps]
    held_out = [(row["step"], row["loss"]) for row in model.validation if row.get("loss") is not None]
    return [
        plots.Line("each step", loss, faint=True),
        plots.Line("smoothed", plots.smooth(loss)),
        *([plots.Line("validation split", held_out)] if held_out else []),
    ]


def calibration_lines(model: Model) -> list[plots.Line]:
    """The reliability of a classifier's probabilities, without and with its temperature; none of other models."""
    test = model.manifest.details["evaluation"]["test"]
    if not test.get("calibration"):
        return []
    lines = [plots.Line("right as often as they say", [(0.0, 0.0), (1.0, 1.0)], faint=True)]
    for name, key in (("as they are", "calibration"), ("with the temperature", "calibrated")):
        bins = [row for row in test[key]["reliability"] if row["rows"]]
        lines.append(plots.Line(name, [(row["confidence"], row["accuracy"]) for row in bins]))
    return lines
