"""The model that reads pairs of texts, checked before Spark starts, and until when it learned, as manifests tell."""

from __future__ import annotations

import datetime

from mapring import storage
from mapring.contract import is_published, read_manifest
from mapring.errors import InputError, PublishedError, SettingsError, StageError
from mapring.plan import Plan
from mapring.progress import say
from mapring.settings.answers import Answers
from mapring.settings.recommend import RERANKER_TASKS, Reranker
from spark_jobs.published_model import read_published_model
from spark_jobs.ranking.features import TextScores, text_scores


def reranker_scores(plan: Plan, settings: Reranker) -> TextScores:
    """How the model's answers to pairs become a number.

    Raises:
        StageError: it is not there, or is none that gives pairs a number.
        SettingsError: it has no such label.
    """
    directory, key = str(plan.reranker_directory), f"{plan.config}: recommend.reranker"
    if not is_published(directory):
        raise StageError(
            f"{key}: found no model at {directory}; run `mapring train {plan.config}` first, with the same settings"
        )
    model = read_published_model(directory)
    if model.task not in RERANKER_TASKS or not model.is_pair:
        what = "pairs of texts" if model.is_pair else "single texts"
        raise StageError(
            f"{key}: found a model of task {model.task} on {what} at {directory}, expected one of task "
            f"{' or '.join(RERANKER_TASKS)} on pairs; conf/recommendation_reranker.yaml trains one"
        )
    labels = model.details["labels"] if model.task == "classify" else []
    if labels and settings.label not in labels:
        raise SettingsError(
            f"{key}.label: found {settings.label!r}, but the model at {directory} has the labels "
            f"{', '.join(map(repr, labels))}; name one of them"
        )
    answers = Answers()
    return text_scores(model.mode_for(answers), labels, answers, settings.label if labels else None)


def check_taught_before(plan: Plan, moment: float, stage: str) -> float | None:
    """Refuse a model that learned from interactions from a moment on, which the ranker learns or is tested on.

    Returns:
        Until when it learned, in seconds since 1970; None, and a line that says so, where that cannot be told.

    Raises:
        InputError: it learned from later ones.
    """
    directory = str(plan.reranker_directory)
    found = taught_until(directory)
    if found is None:
        say(
            stage,
            f"the re-ranking model at {directory} was not trained on pairs of `mapring pairs` that still stand beside "
            f"it: make sure that it saw no interaction from {_told(moment)} on, or figures are too good",
        )
    elif found > moment:
        raise InputError(
            f"{plan.config}: recommend.reranker.model: the model at {directory} learned from interactions until "
            f"{_told(found)}, but the ranker learns from those from {_told(moment)} on, and would trust "
            "what knows the answers; train it with a smaller recommend.model_share, or raise that of this pipeline"
        )
    return found


def taught_until(directory: str) -> float | None:
    """The moment before which all interactions lie that a published model learned from, in seconds since 1970.

    Told by the pairs beside it in its run directory that are the input of its shards; None where there are none, or
    they do not say so.
    """
    try:
        root = directory.rstrip("/").rsplit("/", 2)[0]
        shards = next(link["fingerprint"] for link in read_manifest(directory).inputs if link.get("kind") == "shards")
        manifest = read_manifest(storage.join(root, "shards", shards))
    except (PublishedError, StopIteration):
        return None
    read = {str(source["identity"]) for source in manifest.inputs if "source" in source}
    pairs = storage.join(root, "pairs")
    made = [storage.join(pairs, name) for name in storage.list_names(pairs)]
    taught = [read_manifest(one) for one in made if is_published(one)]
    ends = {
        f"sha256:{file.sha256}": one.details["until"] for one in taught if "until" in one.details for file in one.files
    }
    return max(ends[name] for name in read) if read and read <= set(ends) else None


def _told(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
