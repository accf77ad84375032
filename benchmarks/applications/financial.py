"""Financial PhraseBank (Malo et al. 2014): negative, neutral and positive sentences of financial news.

The data (CC BY-NC-SA 3.0, not for commercial use) are not fetched: `FINANCIAL_PHRASEBANK` names the folder with
`fpb_50agree.csv` and `fpb_Allagree.csv`, UTF-8, columns `sentence` and `label`: the sentences on which half of the
annotators, or all of them, agree. There is no official split. Ours is by content: 10 % validation, 20 % test.

Two parts: the training of conf/financial_opinion.yaml, whose settings were chosen on the validation split, and the same
with an encoder as large as FinBERT's, whose three epochs and learning rate are usual ones and were not searched for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.given_data import given_folder
from benchmarks.larger_encoder import with_larger_encoder
from benchmarks.models.trained import Trained, trained, write_config
from benchmarks.results import Figure, figure
from benchmarks.sentences import ROOT

VARIABLE = "FINANCIAL_PHRASEBANK"
_FILES = {"50agree": "fpb_50agree.csv", "allagree": "fpb_Allagree.csv"}
_GOALS = {"50agree": (0.86, "FinBERT, published, all data: 0.86"), "allagree": (0.95, None)}


def phrasebank_figures() -> list[Figure]:
    """Of both subsets, with the small encoder of the application's config: figures named `..._small_...`.

    Raises:
        FileNotFoundError: the data are not there.
    """
    found = []
    for subset in _FILES:
        name = f"phrasebank-{subset}"
        found += _figures(subset, trained(name, write_config(name, _values(_file(subset)))), f"{subset}_small")
    return found


def larger_phrasebank_figures() -> list[Figure]:
    """Of both subsets, with a larger encoder.

    Raises:
        FileNotFoundError: the data or the encoder are not there.
    """
    found = []
    for subset in _FILES:
        name = f"phrasebank-{subset}-larger"
        values = with_larger_encoder(_values(_file(subset)), epochs=3, learning_rate=3.0e-5)
        found += _figures(subset, trained(name, write_config(name, values)), subset)
    return found


def _figures(subset: str, one: Trained, called: str) -> list[Figure]:
    """Accuracy and macro-F1 on the test split, and what the encoder gains over TF-IDF."""
    goal, peer = _GOALS[subset]
    tfidf = f"TF-IDF + logistic regression: {one.tfidf_accuracy:.3f}"
    gained = one.accuracy - one.tfidf_accuracy
    return [
        figure(f"phrasebank_{called}_accuracy", one.accuracy, goal, "share", peer=peer),
        figure(f"phrasebank_{called}_macro_f1", float(one.test["macro_f1"]), goal - 0.02, "share"),
        figure(f"phrasebank_{called}_accuracy_minus_tfidf", gained, 0.03, "share", peer=tfidf),
    ]


def _file(subset: str) -> Path:
    return given_folder(VARIABLE, tuple(_FILES.values()), "the Financial PhraseBank") / _FILES[subset]


def _values(file: Path) -> dict[str, Any]:
    """The application's own settings, with the sentences of a file, and nothing that is scored."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "conf/financial_opinion.yaml").read_text())
    values["preprocess"]["inputs"][0]["path"] = str(file)
    return {name: values[name] for name in ("seed", "preprocess", "train", "spark")}
