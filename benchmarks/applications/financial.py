"""Financial PhraseBank (Malo et al. 2014): negative, neutral and positive sentences of financial news.

The data (CC BY-NC-SA 3.0, not for commercial use) are not fetched: `FINANCIAL_PHRASEBANK` names the folder with
`fpb_50agree.csv` and `fpb_Allagree.csv`, UTF-8, columns `sentence` and `label`: the sentences on which half of the
annotators, or all of them, agree. There is no official split. Ours is by content: 10 % validation, 20 % test.

The training is the one of conf/financial_opinion.yaml, whose settings were chosen on the validation split.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.given_data import given_folder
from benchmarks.models.trained import Trained, trained, write_config
from benchmarks.results import Figure, figure
from benchmarks.sentences import ROOT

VARIABLE = "FINANCIAL_PHRASEBANK"
_FILES = {"50agree": "fpb_50agree.csv", "allagree": "fpb_Allagree.csv"}
_GOALS = {"50agree": (0.86, "FinBERT, published, all data: 0.86"), "allagree": (0.95, None)}


def phrasebank_figures() -> list[Figure]:
    """Accuracy and macro-F1 of both subsets on their test splits, and what the encoder gains over TF-IDF."""
    found = []
    for subset, (goal, peer) in _GOALS.items():
        one = phrasebank(subset)
        gained = one.accuracy - one.tfidf_accuracy
        found += [
            figure(f"phrasebank_{subset}_accuracy", one.accuracy, goal, "share", peer=peer),
            figure(f"phrasebank_{subset}_macro_f1", float(one.test["macro_f1"]), goal - 0.02, "share"),
            figure(
                f"phrasebank_{subset}_accuracy_minus_tfidf",
                gained,
                0.03,
                "share",
                peer=f"TF-IDF + logistic regression: {one.tfidf_accuracy:.3f}",
            ),
        ]
    return found


def phrasebank(subset: str) -> Trained:
    """The training on one subset, `50agree` or `allagree`.

    Raises:
        FileNotFoundError: the data are not there.
    """
    folder = given_folder(VARIABLE, tuple(_FILES.values()), "the Financial PhraseBank")
    name = f"phrasebank-{subset}"
    return trained(name, write_config(name, _values(folder / _FILES[subset])))


def _values(file: Path) -> dict[str, Any]:
    """The application's own settings, with the sentences of one subset, and nothing that is scored."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "conf/financial_opinion.yaml").read_text())
    values["preprocess"]["inputs"][0]["path"] = str(file)
    return {name: values[name] for name in ("seed", "preprocess", "train", "spark")}
