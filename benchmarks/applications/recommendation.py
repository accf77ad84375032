"""Recommendation on MovieLens ml-latest-small (Harper and Konstan 2015): what is liked next, split by time.

The data (GroupLens' licence: research, no commercial use) are not fetched: `ML_LATEST_SMALL` names the folder with
their `ratings.csv.gz` and `movies.csv.gz`, as GroupLens publishes them, compressed. Every list is held against all
films that its user had not rated. The baselines have the form that was best on the moments that the ranker learns from.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.given_data import given_folder
from benchmarks.models.trained import RUNS
from benchmarks.processes import run
from benchmarks.results import Figure, figure
from benchmarks.sentences import LOGS, ROOT, our_environment
from mapring import contract
from mapring.plan import make_plan

VARIABLE = "ML_LATEST_SMALL"
CONFIG, RERANKER_CONFIG = (ROOT / "conf" / f"{name}.yaml" for name in ("recommendation", "recommendation_reranker"))
_FORMS = {  # what is left out, and the settings for it
    "whole": ("recommend.model=false",),
    "without_text": ("recommend.model=false", "recommend.evidence=[behaviour]"),
    "without_behaviour": ("recommend.model=false", "recommend.evidence=[text]"),
}
_TOWERS = ("recommend.model=true",)
# Half of the pairs of the config, half as long: minutes on two cores
_RERANKER = ("recommend.pairs_per_user=10", "preprocess.max_length=64", "ring.launcher=mpirun")
_DRAWS, _SEED = 10_000, 17


def recommendation_figures() -> list[Figure]:
    """NDCG@10 over the best baseline's, beside HR@10, coverage, and what is left without text or behaviour."""
    found = {name: _evaluation(name, "recommend", words) for name, words in _FORMS.items()}
    whole = found["whole"]
    own, others = whole["test"], whole["baselines"]
    best = max(others, key=lambda name: others[name]["ndcg_at_10"])
    peers = ", ".join(f"{name} {values['ndcg_at_10']:.4f}" for name, values in others.items())
    ratio = own["ndcg_at_10"] / others[best]["ndcg_at_10"]
    least = _lower_bound(whole["gains"]["ours"], whole["gains"][others[best]["form"]])
    hits = max(values["hr_at_10"] for values in others.values())
    spread = others[best]["coverage"]
    return [
        figure("recommendation_ndcg10_vs_best_baseline", ratio, 1.1, "ratio", peer=f"{best}: {others[best]['form']}"),
        figure("recommendation_ndcg10_ratio_lower95", least, 1.0, "ratio", peer=f"bootstrap of {own['moments']} users"),
        figure("recommendation_ndcg10", own["ndcg_at_10"], others[best]["ndcg_at_10"], "", peer=peers),
        figure("recommendation_hr10", own["hr_at_10"], hits, "share", peer="the baselines' best"),
        figure("recommendation_coverage", own["coverage"], spread, "share", peer=best),
        *(
            figure(
                f"recommendation_ndcg10_{name}",
                found[name]["test"]["ndcg_at_10"],
                own["ndcg_at_10"],
                "",
                better="lower",
                peer="with both",
            )
            for name in _FORMS
            if name != "whole"
        ),
    ]


def towers_figures() -> list[Figure]:
    """What the similarity of user's and item's text by a trained model adds: pairs, training and ranker in one run."""
    without, found = (_evaluation("whole", "recommend", _FORMS["whole"]), _evaluation("towers", "run", _TOWERS))
    gain = found["test"]["ndcg_at_10"] / without["test"]["ndcg_at_10"]
    return [figure("recommendation_ndcg10_towers_gain", gain, 1.0, "ratio", peer="without the model of texts")]


def reranker_figures() -> list[Figure]:
    """What a cross-encoder adds that reads the first 30 films of each list; one run trains it and puts them anew."""
    found = _evaluation("reranker", "run", _RERANKER, RERANKER_CONFIG)
    last, first, plain = (
        found[name]["ndcg_at_10"] for name in ("test", "test_before_reranking", "test_reranked_without_model")
    )
    gains = found["gains"]
    least = _lower_bound(gains["ours"], gains["before_reranking"])
    users = f"bootstrap of {found['test']['moments']} users"
    return [
        figure("recommendation_ndcg10_reranked", last, first, "", peer=f"before re-ranking {first:.4f}"),
        figure("recommendation_ndcg10_reranker_gain", last / first, 1.0, "ratio", peer="before re-ranking"),
        figure("recommendation_ndcg10_reranker_gain_lower95", least, 1.0, "ratio", peer=users),
        figure(
            "recommendation_ndcg10_reranked_without_model",
            plain,
            last,
            "",
            better="lower",
            peer="the same trees with what the model says",
        ),
    ]


def _evaluation(name: str, command: str, words: tuple[str, ...], source: Path = CONFIG) -> dict[str, Any]:
    """What the ranker's manifest says of its test, made now unless it is there.

    Raises:
        FileNotFoundError: the data are not there.
    """
    folder = given_folder(VARIABLE, ("ratings.csv.gz", "movies.csv.gz"), "MovieLens ml-latest-small")
    values = yaml.safe_load(source.read_text())
    values["run_dir"] = str(RUNS / source.stem)
    values["recommend"]["interactions"]["path"] = str(folder / "ratings.csv.gz")
    values["recommend"]["items"]["path"] = str(folder / "movies.csv.gz")
    RUNS.mkdir(parents=True, exist_ok=True)
    config = RUNS / source.name
    config.write_text(yaml.safe_dump(values))
    mapring = str(Path(sys.executable).parent / "mapring")
    log = LOGS / f"recommendation-{name}.log"
    run([mapring, command, str(config), *words], log=log, cwd=ROOT, environment=our_environment())
    plan = make_plan(str(config), list(words))
    found: dict[str, Any] = contract.read_manifest(plan.recommender_directory).details["evaluation"]
    return found


def _lower_bound(ours: list[float], theirs: list[float]) -> float:
    """The bound that the ratio of two means exceeds with 95 % confidence; users are drawn, the same of both sides."""
    places = np.random.default_rng(_SEED).integers(len(ours), size=(_DRAWS, len(ours)))
    ratios = np.asarray(ours)[places].mean(axis=1) / np.asarray(theirs)[places].mean(axis=1)
    return float(np.quantile(ratios, 0.05))
