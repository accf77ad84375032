"""report.html: one page that tells what a run read, dropped, learned and scored, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from mapring import storage
from mapring.contract import code_version
from mapring.plan import Plan
from pipelines import plots
from pipelines.names import BASELINES, figures_of
from pipelines.report_confusion import LARGEST_MATRIX, most_confused
from pipelines.report_data import Data, draw_data, gather_data
from pipelines.report_lineage import draw_lineage, nodes_of
from pipelines.report_recommendations import Recommendations, draw_recommendations, gather_recommendations
from pipelines.report_scores import Scores, draw_scores, gather_scores
from pipelines.report_settings import shown_overrides, shown_settings
from pipelines.report_training import Model, calibration_lines, draw_training, gather_model, loss_lines
from pipelines.report_watch import WatchPage, gather_watch

_SECTIONS: Mapping[str, Sequence[str]] = {  # and parts of them that the index names where they are there
    "data": ("drops", "duplicates"),
    "training": (),
    "evaluation": ("mistakes",),
    "scores": (),
    "recommendations": (),
    "watch": ("drift", "alerts"),
    "lineage": (),
    "settings": (),
}


def write_report(plan: Plan) -> None:
    """Gather what is published of a plan and write the page; what is missing is said on it."""
    data, model, now = gather_data(plan), gather_model(plan), datetime.now(UTC)
    page = render(plan, data, model, gather_scores(plan), now, gather_watch(plan, now), gather_recommendations(plan))
    storage.replace(plan.run.report, page.encode())


def render(
    plan: Plan,
    data: Data | None,
    model: Model | None,
    scores: Scores | None,
    now: datetime,
    watch: WatchPage | None = None,
    recommendations: Recommendations | None = None,
) -> str:
    """The page, with all text escaped."""
    loader = FunctionLoader(lambda name: files("pipelines").joinpath(name).read_text())
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(thousands=_thousands, share=_share, figure=_figure, short=_short)
    template = environment.get_template("report.html")
    drawn, legends = _plots(plan, data, model, scores, recommendations)
    return template.render(
        plan=plan,
        data=data,
        model=model,
        scores=scores,
        watch=watch,
        recommendations=recommendations,
        written=now.isoformat(sep=" ", timespec="minutes")[:16],
        code_version=code_version(),
        baselines=BASELINES,
        figures_of=figures_of,
        most_confused=most_confused,
        largest_matrix=LARGEST_MATRIX,
        index=_index(plan, data, model, watch),
        plots=drawn,
        legends=legends,
        settings=shown_settings(plan.settings.model_dump(mode="json")),
        overrides=shown_overrides(plan.overrides),
    )


def _index(plan: Plan, data: Data | None, model: Model | None, watch: WatchPage | None) -> list[tuple[str, list[str]]]:
    """The sections of a plan, and the parts of each that are worth a link of their own and are there."""
    there = {
        "drops": data is not None and data.manifest.details["counts"]["dropped"],
        "duplicates": data is not None and data.corpus.clusters,
        "mistakes": model is not None and model.mistakes,
        "drift": watch is not None and watch.episodes,
        "alerts": watch is not None and watch.alerts,
    }
    left_out = () if plan.settings.recommend else ("recommendations",)
    sections = ((section, parts) for section, parts in _SECTIONS.items() if section not in left_out)
    return [(section, [part for part in parts if there[part]]) for section, parts in sections]


def _plots(
    plan: Plan,
    data: Data | None,
    model: Model | None,
    scores: Scores | None,
    recommendations: Recommendations | None,
) -> tuple[dict[str, Markup], dict[str, list[tuple[str, str]]]]:
    """SVG of every plot, of which the functions that draw them have escaped the text; and what lines stand for."""
    drawn: dict[str, str] = {}
    legends: dict[str, list[tuple[str, str]]] = {}
    if data is not None:
        drawn.update(draw_data(data))
    if model is not None:
        drawn.update(draw_training(model))
        legends["loss"] = plots.legend(loss_lines(model))
        legends["calibration"] = plots.legend(calibration_lines(model))
    if scores is not None:
        drawn["scores"] = draw_scores(scores)
    if recommendations is not None:
        drawn["recommendations"] = draw_recommendations(recommendations)
    manifests = [None if one is None else one.manifest for one in (data, model)]
    drawn["lineage"] = draw_lineage(nodes_of(plan, manifests[0], manifests[1], scores))
    return {name: Markup(svg) for name, svg in drawn.items()}, legends


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
