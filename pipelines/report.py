"""report.html: one page that tells what a run read, dropped, learned and scored, without a network."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from mapring import storage
from mapring.contract import code_version
from mapring.plan import Plan
from pipelines import plots
from pipelines.names import BASELINES, figures_of
from pipelines.report_corpus import draw_corpus
from pipelines.report_data import Data, Model, Scores, gather_data, gather_model, gather_scores
from pipelines.report_watch import WatchPage, gather_watch


def write_report(plan: Plan) -> None:
    """Gather what is published of a plan and write the page; what is missing is said on it."""
    data, model, now = gather_data(plan), gather_model(plan), datetime.now(UTC)
    page = render(plan, data, model, gather_scores(plan), now, gather_watch(plan, now))
    storage.replace(plan.run.report, page.encode())


def render(
    plan: Plan,
    data: Data | None,
    model: Model | None,
    scores: Scores | None,
    now: datetime,
    watch: WatchPage | None = None,
) -> str:
    """The page, with all text escaped."""
    loader = FunctionLoader(lambda name: files("pipelines").joinpath(name).read_text())
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(thousands=_thousands, share=_share, figure=_figure, short=_short)
    template = environment.get_template("report.html")
    return template.render(
        plan=plan,
        data=data,
        model=model,
        scores=scores,
        watch=watch,
        written=now.isoformat(sep=" ", timespec="minutes")[:16],
        code_version=code_version(),
        baselines=BASELINES,
        figures_of=figures_of,
        plots=_plots(data, model, scores),
        settings=flatten(plan.settings.model_dump(mode="json")),
    )


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as `preprocess.inputs.0.path: value`, the keys that the command line takes."""
    if isinstance(values, Mapping) and values:
        items = values.items()
    elif isinstance(values, list) and values:
        items = dict(enumerate(values)).items()
    else:
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


_ANSWER_TITLES = {  # and what the axis has
    "classify": ("Scores", "score of the most probable label"),
    "retrieve": ("Scores", "similarity of the nearest template"),
    "regression": ("Values", "value"),
    "perplexity": ("Losses", "loss in nats a token, the logarithm of the perplexity"),
}


def _plots(data: Data | None, model: Model | None, scores: Scores | None) -> dict[str, Markup]:
    """SVG of every plot; the functions that draw them have escaped their text."""
    drawn: dict[str, str] = {}
    if data is not None:
        bars = [
            plots.Bar(str(low), count, f"{low if low == high else f'{low} to {high}'} tokens: {count:,} documents")
            for low, high, count in data.lengths
        ]
        drawn["lengths"] = plots.bar_chart(bars, title="Length of documents", x_label="tokens", y_label="documents")
        drawn.update(draw_corpus(data.corpus))
    if model is not None:
        loss = [(step["step"], step["loss"]) for step in model.steps]
        lines = [plots.Line("loss of a step", loss, faint=True), plots.Line("loss, smoothed", plots.smooth(loss))]
        drawn["loss"] = plots.line_chart(lines, title="Training loss", x_label="step", y_label="loss (nats)")
        for name, key, label in (
            ("learning_rate", "learning_rate", "learning rate"),
            ("throughput", "samples_per_second", "samples/s"),
        ):
            points = [(step["step"], step[key]) for step in model.steps]
            shown = points if name == "learning_rate" else plots.smooth(points)
            drawn[name] = plots.line_chart(
                [plots.Line(label, shown)], title=label.capitalize(), x_label="step", y_label=label
            )
        drawn["calibration"] = _calibration(model.manifest.details["evaluation"]["test"])
    if scores is not None and scores.answers.histogram:
        title, of_values = _ANSWER_TITLES[scores.mode]
        edges = scores.answers.edges
        bars = [
            plots.Bar(f"{low:.2f}", count, f"{low:.4g} to {high:.4g}: {count:,} rows")
            for low, high, count in zip(edges, edges[1:], scores.answers.histogram, strict=False)
        ]
        drawn["scores"] = plots.bar_chart(bars, title=title, x_label=of_values, y_label="rows")
    return {name: Markup(svg) for name, svg in drawn.items()}


def _calibration(test: Mapping[str, Any]) -> str:
    """The reliability of a classifier's probabilities, without and with its temperature; empty for other models."""
    if not test.get("calibration"):
        return ""
    lines = [plots.Line("as often as they say", [(0.0, 0.0), (1.0, 1.0)], faint=True)]
    for name, key in (("as they are", "calibration"), ("with the temperature", "calibrated")):
        bins = [row for row in test[key]["reliability"] if row["rows"]]
        lines.append(plots.Line(name, [(row["confidence"], row["accuracy"]) for row in bins]))
    return plots.line_chart(
        lines, title="Calibration", x_label="confidence: as they are, with the temperature", y_label="accuracy"
    )


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


def _share(value: float, whole: float) -> str:
    return f"{100 * value / whole:.1f} %" if whole else "none"


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _short(identity: str) -> str:
    """An identity in as many digits as a fingerprint has."""
    kind, colon, digest = identity.partition(":")
    return f"{kind}{colon}{digest[:16]}" if colon else identity[:16]
