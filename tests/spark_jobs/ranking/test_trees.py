"""Trees and what they see: the same bytes again, missing numbers, labels that do not fit, rows without an answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mapring.discounted_gain import query_figures
from mapring.errors import InputError, SettingsError
from mapring.settings.answers import Answers
from mapring.settings.ranker import Objective, Ranker
from spark_jobs.ranking.features import joined, text_scores
from spark_jobs.ranking.trees import TrainingRows, Trees, fit, is_held_out

INPUT = {"name": "a", "path": "a.csv", "format": "csv", "label_column": "y", "group_column": "q"}


def settings_of(**values: Any) -> Ranker:
    return Ranker.model_validate({"inputs": [INPUT], "rounds": 40, "rows_per_leaf": 5, **values})


def made_rows(labels: str = "relevance", seed: int = 1) -> TrainingRows:
    """Rows of 60 groups; what is relevant hangs on the second number, a third of which are missing."""
    chance = np.random.default_rng(seed)
    groups = [f"g{number // 12:03d}" for number in range(720)]
    seen = chance.random((720, 3))
    truth = seen[:, 1] + 0.1 * seen[:, 0]
    seen[chance.random(720) < 1 / 3, 1] = np.nan
    found = {"relevance": np.floor(truth * 4).clip(0, 3), "binary": (truth > 0.5) * 1.0, "number": truth - 7}[labels]
    held = np.array([is_held_out(group, 0.3, 17) for group in groups])
    return TrainingRows(seen, found, groups, held)


@pytest.mark.parametrize(
    ("objective", "labels"), [("lambdarank", "relevance"), ("binary", "binary"), ("regression", "number")]
)
def test_trees_are_the_same_again_and_use_what_carries_signal(objective: Objective, labels: str) -> None:
    rows = made_rows(labels)
    fitted = fit(rows, settings_of(), objective, seed=17)
    assert fit(rows, settings_of(), objective, seed=17) == fitted
    assert int(np.argmax(fitted.importance)) == 1 and sum(fitted.importance) == pytest.approx(1)
    scores = Trees(fitted.text)(rows.seen)
    np.testing.assert_array_equal(Trees(fitted.text)(rows.seen[5:9]), scores[5:9])
    held = np.flatnonzero(rows.held_out)
    groups, relevance = [rows.groups[row] for row in held], rows.labels[held] - rows.labels.min()
    ranked = query_figures(groups, scores[held], relevance)["ndcg_at_10"]
    assert ranked > query_figures(groups, rows.seen[held, 0], relevance)["ndcg_at_10"] + 0.05


def test_held_out_groups_without_a_relevant_row_do_not_raise_the_figure() -> None:
    rows = made_rows("binary")
    without = np.isin(rows.groups, [group for group in sorted(set(rows.groups)) if int(group[1:]) % 2])
    changed = rows._replace(labels=np.where(without & rows.held_out, 0.0, rows.labels))
    fitted = fit(changed, settings_of(), "lambdarank", seed=17)
    held = np.flatnonzero(rows.held_out & ~without)
    groups, scores = [rows.groups[row] for row in held], Trees(fitted.text)(rows.seen[held])
    assert fitted.value == query_figures(groups, scores, rows.labels[held])["ndcg_at_10"]
    nothing = rows._replace(labels=np.where(rows.held_out, 0.0, rows.labels))
    assert fit(nothing, settings_of(), "lambdarank", seed=17).value is None


def test_labels_and_groups_that_do_not_fit_are_refused() -> None:
    rows = made_rows()
    with pytest.raises(InputError, match=r"label \d.5 with objective=lambdarank, expected whole numbers from 0 to 30"):
        fit(rows._replace(labels=rows.labels + 0.5), settings_of(), "lambdarank", seed=1)
    with pytest.raises(InputError, match=r"label \d with objective=binary"):
        fit(rows, settings_of(), "binary", seed=1)
    with pytest.raises(InputError, match=r"found 0 of 720 rows held out"):
        fit(rows._replace(held_out=np.zeros(720, bool)), settings_of(), "lambdarank", seed=1)


def test_what_is_seen_of_every_mode() -> None:
    answers = Answers.model_validate(
        {"retrieval": {"bank": [{"name": "b", "path": "b", "format": "text"}], "top_k": 2}}
    )
    columns: dict[str, list[Any]] = {
        "probabilities": [[0.25, 0.75], None],
        "value": [3.5, None],
        "answers": [[{"id": "a", "score": 0.5}], None],
    }
    for mode, labels, names, own, first in (
        ("classify", ["no", "yes"], ("probability of no", "probability of yes"), 1, [0.25, 0.75]),
        ("regression", [], ("value",), 0, [3.5]),
        ("retrieve", [], ("similarity 1", "similarity 2"), 0, [0.5, np.nan]),
    ):
        scores = text_scores(mode, labels, answers, None)  # type: ignore[arg-type]
        assert (scores.names, scores.own) == (names, own)
        found = joined(scores.of(columns), [[1.0, None], None], 2)
        np.testing.assert_array_equal(found, [[*first, 1.0, np.nan], [np.nan] * (len(first) + 2)])
    assert text_scores("classify", ["no", "yes"], answers, "no").own == 0
    with pytest.raises(SettingsError, match="expected one of 'no', 'yes'"):
        text_scores("classify", ["no", "yes"], answers, "maybe")
    with pytest.raises(SettingsError, match="mode embed, whose answers are no scores"):
        text_scores("embed", [], answers, None)
