"""The model card: what a model is, what it was made from, how good it is, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mapring.figure_names import FIGURE_NAMES

_COMPRESSION = {
    "parameters": "parameters",
    "bytes": "bytes of fp32 weights",
    "samples_per_second": "samples/s",
    "accuracy": "accuracy on the test split",
    "macro_f1": "macro-F1 on the test split",
}
_KINDS = {
    "classify": "A text classifier with the labels {labels}",
    "multilabel": "A text classifier that gives any number of the labels {labels}",
    "regression": "A regression model that gives a number for a text, in the unit of the training targets",
    "embed": "A text embedding model: the mean over tokens of the last hidden states, of length 1",
    "mlm": "A masked language model",
    "clm": "A causal language model",
}


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
    labels = ", ".join(f"`{label}`" for label in details["labels"])
    lines = [
        f"# {name}",
        "",
        f"{_KINDS[details['task']].format(labels=labels)}, made by mapring.",
        "",
        "| | |",
        "|---|---|",
        f"| model fingerprint | `{fingerprint}` |",
        f"| data (shards) fingerprint | `{shards}` |",
        f"| base model | `{base_model}` |",
        f"| its license | {_license(details, settings)} |",
        f"| method | {details['method']} |",
        f"| longest input | {details['max_length']} tokens, longer texts are cut |",
        f"| trained in | {details['precision']}, {details['world_size']} ranks, "
        f"{details['throughput']['seconds']:.0f} s at {details['throughput']['samples_per_second']:.0f} rows/s |",
        "",
        "## Quality",
        "",
        *_quality(details["evaluation"]),
        "",
        *_compression(details["evaluation"].get("compression")),
        *_forgetting(details["evaluation"].get("forgetting")),
        "## Limits",
        "",
        "The figures hold for texts like those of the test split, which comes from the same sources as the training",
        "data. For other sources, languages or times, measure again. License and biases of the base model and of the",
        "data carry over.",
        *_calibration(details["evaluation"]["test"]),
        "",
        "## Training settings",
        "",
        *(f"- {key}: {value}" for key, value in settings.items()),
        "",
    ]
    return "\n".join(lines)


def _license(details: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    if settings["model"]["directory"] is None:
        return "none, it started from random weights"
    return details["base_license"] or "not stated beside its weights; look where it came from"


def _calibration(test: Mapping[str, Any]) -> list[str]:
    """What a classifier's probabilities are worth, and how to better them, where a temperature was fitted."""
    if test.get("temperature") in (None, 1.0) or not test["rows"]:
        return []
    as_is, calibrated = (test[key]["expected_calibration_error"] for key in ("calibration", "calibrated"))
    return [
        f"Its probabilities are off by {as_is:.3f} on average (expected calibration error), and by {calibrated:.3f}",
        f"with logits divided by the temperature {test['temperature']:.3f}, which fits the validation split.",
    ]


def _quality(evaluation: Mapping[str, Any]) -> list[str]:
    shown = [figure for figure in FIGURE_NAMES if figure in evaluation["test"]]
    lines = [
        f"| model | split | rows | {' | '.join(FIGURE_NAMES[figure] for figure in shown)} |",
        "|---" * (3 + len(shown)) + "|",
        *(_row("this model", split, evaluation[split], shown) for split in ("validation", "test")),
        *(_row(baseline, "test", values, shown) for baseline, values in evaluation["baselines"].items()),
    ]
    if "robustness" in evaluation:
        lines += ["", "On changed texts of the test split:", "", "| change | accuracy | macro-F1 |", "|---|---|---|"]
        lines += [
            f"| {kind.replace('_', ' ')} | {found['accuracy']:.3f} | {found['macro_f1']:.3f} |"
            for kind, found in evaluation["robustness"].items()
            if found["accuracy"] is not None
        ]
    per_class = evaluation["test"].get("per_class") or evaluation["test"].get("per_label")
    if per_class is None:
        return lines
    return [
        *lines,
        "",
        "Per label on the test split:",
        "",
        "| label | precision | recall | F1 | rows |",
        "|---|---|---|---|---|",
        *(
            f"| {row['label']} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
            for row in per_class
        ),
    ]


def _compression(found: Mapping[str, Any] | None) -> list[str]:
    """The section on what the model was made from; nothing where it was neither distilled nor compressed."""
    if found is None:
        return []
    before, after = found["before"], found["after"]
    pairs = {title: (before[figure], after[figure]) for figure, title in _COMPRESSION.items()}
    lines = [
        "## Compression",
        "",
        f"Samples/s are those of forward passes in fp32 on {found['threads']} threads, with {found['rows']} rows of "
        f"{found['length']} tokens: the median of {found['rounds']} passes of each model in turn.",
        "",
        f"| | before: {before['model']} | after: this model | after / before |",
        "|---|---|---|---|",
    ]
    for title, (old, new) in pairs.items():
        ratio = f"{new / old:.2f}" if old and new is not None else ""
        lines.append(f"| {title} | {_number(old)} | {_number(new)} | {ratio} |")
    return [*lines, ""]


def _number(value: float | None) -> str:
    """Whole numbers and rates whole, shares with three digits."""
    if value is None:
        return "not known"
    return f"{value:.3f}" if value <= 1 else f"{value:,.0f}"


def _forgetting(found: Mapping[str, Any] | None) -> list[str]:
    """The section on an earlier corpus, of a model that was asked how much it forgot of it."""
    if found is None:
        return []
    shown = [figure for figure in FIGURE_NAMES if figure in found["change"]]
    return [
        "## What became of the earlier corpus",
        "",
        f"On the {found['rows']:,} {found['split']} rows of the shards `{found['shards']}`:",
        "",
        "| figure | before the training | after it | change |",
        "|---|---|---|---|",
        *(
            f"| {FIGURE_NAMES[figure]} | {found['before'][figure]:.3f} | {found['after'][figure]:.3f} | "
            f"{found['change'][figure]:+.3f} |"
            for figure in shown
        ),
        "",
    ]


def _row(model: str, split: str, values: Mapping[str, Any], shown: list[str]) -> str:
    figures = (values.get(figure) for figure in shown)
    cells = ["" if figure is None else f"{figure:.3f}" for figure in figures]
    return f"| {model} | {split} | {values['rows']} | {' | '.join(cells)} |"
