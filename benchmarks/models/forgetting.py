"""What a model forgets when it goes on with other texts, with and without replay of the older ones.

A sentiment classifier of reviews, movies and editorials goes on with tweets.
"""

from __future__ import annotations

from typing import Any

from benchmarks.models.trained import Trained, trained
from benchmarks.results import Figure, figure
from benchmarks.sentences import sentences

_SHARE = 0.25


def forgetting_figures() -> list[Figure]:
    """Accuracy lost on the older test split; the goal of replay is to lose less than half of it."""
    without, replayed = (_lost(found) for found in continued())
    return [
        figure("accuracy_forgotten", without, 1.0, "share", better="lower", peer="the model before"),
        figure("accuracy_forgotten_with_replay", replayed, without / 2, "share", better="lower", peer="without replay"),
    ]


def continued() -> tuple[Trained, Trained]:
    """The model that went on without and with replay."""
    older_plan = sentences("models-older", ["reviews", "movies", "editorials"], test=0.15)
    older = trained("older", older_plan.config)
    newer = sentences("models-newer", ["tweets"], test=0.15)
    same = [f"train.model={older.plan.model_directory}", f"train.replay.shards={older.plan.shards_directory}"]
    same += ["train.epochs=2"]
    return (
        trained("continued", newer.config, [*same, "train.replay.share=0"]),
        trained("replayed", newer.config, [*same, f"train.replay.share={_SHARE}"]),
    )


def _lost(found: Trained) -> float:
    forgetting: dict[str, Any] = found.details["evaluation"]["forgetting"]
    return float(forgetting["before"]["accuracy"] - forgetting["after"]["accuracy"])
