"""The model card: what a model is, what it was made from, how good it is, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model_card(
    *,
    name: str,
    fingerprint: str,
    base_model: str,
    shards: str,
    details: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> str:
    """Markdown of the card; `details` are those of the model's manifest, `settings` those of the training."""
    evaluation = details["evaluation"]
    lines = [
        f"# {name}",
        "",
        f"A text classifier with the labels {', '.join(f'`{label}`' for label in details['labels'])}, made by mapring.",
        "",
        "| | |",
        "|---|---|",
        f"| model fingerprint | `{fingerprint}` |",
        f"| data (shards) fingerprint | `{shards}` |",
        f"| base model | `{base_model}` |",
        f"| longest input | {details['max_length']} tokens, longer texts are cut |",
        f"| trained in | {details['precision']}, {details['world_size']} ranks, "
        f"{details['throughput']['seconds']:.0f} s at {details['throughput']['samples_per_second']:.0f} rows/s |",
        "",
        "## Quality",
        "",
        "| model | split | rows | accuracy | macro-F1 |",
        "|---|---|---|---|---|",
        *(_row("this model", split, evaluation[split]) for split in ("validation", "test")),
        *(_row(baseline, "test", values) for baseline, values in evaluation["baselines"].items()),
        "",
        "Per class on the test split:",
        "",
        "| label | precision | recall | F1 | rows |",
        "|---|---|---|---|---|",
        *(
            f"| {row['label']} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
            for row in evaluation["test"]["per_class"]
        ),
        "",
        "## Limits",
        "",
        "The figures hold for texts like those of the test split, which comes from the same sources as the training",
        "data. For other sources, languages or times, measure again. Scores are softmax outputs, not calibrated",
        "probabilities. Licence and biases of the base model and of the data carry over.",
        "",
        "## Training settings",
        "",
        *(f"- {key}: {value}" for key, value in settings.items()),
        "",
    ]
    return "\n".join(lines)


def _row(model: str, split: str, values: Mapping[str, Any]) -> str:
    if not values["rows"]:
        return f"| {model} | {split} | 0 | | |"
    return f"| {model} | {split} | {values['rows']} | {values['accuracy']:.3f} | {values['macro_f1']:.3f} |"
