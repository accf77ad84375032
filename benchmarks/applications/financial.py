"""Financial PhraseBank (Malo et al. 2014): negative, neutral and positive sentences of financial news.

The data (CC BY-NC-SA 3.0, not for commercial use) are not fetched: `FINANCIAL_PHRASEBANK` names the folder with
`fpb_50agree.csv` and `fpb_Allagree.csv`, UTF-8, columns `sentence` and `label`: the sentences on which half of the
annotators, or all of them, agree. There is no official split. Ours is by content: 10 % validation, 20 % test.

Two parts: the training of conf/financial_opinion.yaml, whose settings were chosen on the validation split, and the same
with an encoder as large as FinBERT's, whose three epochs and learning rate are usual ones and were not searched for. It
was all-mpnet-base-v2 (Apache-2.0, 109 million parameters), which is not fetched: `LARGER_ENCODER` names its folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.given_data import given_folder, larger_encoder
from benchmarks.models.trained import Trained, trained, write_config
from benchmarks.results import Figure, figure
from benchmarks.sentences import ROOT

VARIABLE = "FINANCIAL_PHRASEBANK"
_FILES = {"50agree": "fpb_50agree.csv", "allagree": "fpb_Allagree.csv"}
_GOALS = {"50agree": 0.86, "allagree": 0.95}
_PEERS = {"50agree": "FinBERT, published, all data: 0.86", "allagree": "the goal alone"}


def phrasebank_figures() -> list[Figure]:
    """Of both subsets, with the small encoder of the application's config: figures named `..._small_...`.

    Raises:
        FileNotFoundError: the data are not there.
    """
    found = []
    for subset in _FILES:
        name = f"phrasebank-{subset}"
        one = trained(name, write_config(name, _values(_file(subset))))
        found += _figures(subset, one, f"phrasebank_{subset}_small", "the config's encoder")
    return found


def larger_phrasebank_figures() -> list[Figure]:
    """Of both subsets, with a larger encoder.

    Raises:
        FileNotFoundError: the data or the encoder are not there.
    """
    encoder = larger_encoder()
    found = []
    for subset in _FILES:
        name = f"phrasebank-{subset}-larger"
        values = _values(_file(subset))
        values["preprocess"]["tokenizer"] = str(encoder)
        values["train"] |= {"model": str(encoder), "epochs": 3, "learning_rate": 3.0e-5}
        one = trained(name, write_config(name, values))
        found += _figures(subset, one, f"phrasebank_{subset}", f"with {encoder.name}")
    return found


def _figures(subset: str, one: Trained, called: str, encoder: str) -> list[Figure]:
    """Accuracy and macro-F1 on the test split, and what the encoder gains over TF-IDF."""
    goal, peer = _GOALS[subset], f"{encoder}; {_PEERS[subset]}"
    tfidf = f"TF-IDF + logistic regression: {one.tfidf_accuracy:.3f}"
    gained = one.accuracy - one.tfidf_accuracy
    return [
        figure(f"{called}_accuracy", one.accuracy, goal, "share", peer=peer),
        figure(f"{called}_macro_f1", float(one.test["macro_f1"]), goal - 0.02, "share", peer=encoder),
        figure(f"{called}_accuracy_minus_tfidf", gained, 0.03, "share", peer=tfidf),
    ]


def _file(subset: str) -> Path:
    return given_folder(VARIABLE, tuple(_FILES.values()), "the Financial PhraseBank") / _FILES[subset]


def _values(file: Path) -> dict[str, Any]:
    """The application's own settings, with the sentences of a file, and nothing that is scored."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "conf/financial_opinion.yaml").read_text())
    values["preprocess"]["inputs"][0]["path"] = str(file)
    return {name: values[name] for name in ("seed", "preprocess", "train", "spark")}
