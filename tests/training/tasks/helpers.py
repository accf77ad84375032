"""Made data and comparisons that the tests of several tasks share."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import torch

from mapring import contract
from mapring.plan import Plan
from mapring.text import Encoder
from tests.training.shards import Document
from tests.training.thread_ring import ThreadRing, run_ranks
from tests.training.tiny_plan import BAD, COMMON, GOOD
from training import train as trainer
from training.loop import Training
from training.reader import Batch
from training.ring.single import SingleRing
from training.tasks import Task


def sentences(count: int, seed: int = 0, words: tuple[int, int] = (2, 9)) -> list[list[str]]:
    """Distinct sentences of common words, some with words of GOOD and BAD among them."""
    chance, found = random.Random(seed), {}
    while len(found) < count:
        chosen = chance.choices(COMMON, k=chance.randint(*words))
        chosen += [chance.choice(kind) for kind in (GOOD, BAD) if chance.random() < 0.5]
        chance.shuffle(chosen)
        found.setdefault(" ".join(chosen), chosen)
    return list(found.values())


def labelled_sentences(key: str, label: Callable[[list[str]], Any], count: int = 330) -> list[Document]:
    """Sentences as documents whose `key` is what `label` says of their words; every seventh has none."""
    return [
        Document(" ".join(words), **({key: label(words)} if number % 7 else {}))
        for number, words in enumerate(sentences(count))
    ]


def loss_of(task: Task, model: torch.nn.Module, batch: Batch, max_tokens: int = 4096) -> tuple[float, float]:
    """Loss and weight of a batch, summed over its pieces."""
    model.eval()
    with torch.no_grad():
        found = [task.loss(model, piece) for piece in task.pieces(batch, model, 0, max_tokens)]
    return sum(float(loss) for loss, _ in found), sum(weight for _, weight in found)


def assert_evaluated_alike(training: Training, plan: Plan) -> dict[str, Any]:
    """Evaluate alone and on two and four ranks: every bit is the same. Returns the figures."""
    task, model = training.task, training.model
    alone = task.evaluate(model, SingleRing(), plan.shards_directory, "test")

    def work(ring: ThreadRing) -> dict[str, Any]:
        torch.set_num_threads(1)
        return task.evaluate(model, ring, plan.shards_directory, "test")

    for size in (2, 4):
        assert all(found == alone for found in run_ranks(size, work))
    return alone


def published(plan: Plan) -> tuple[dict[str, Any], Path]:
    """Train and publish a plan: the manifest's details, and the transformers directory."""
    assert trainer.main(["--config", plan.config, *plan.overrides]) == 0
    details = dict(contract.read_manifest(plan.model_directory).details)
    return details, Path(plan.model_directory, details["transformers"])


def golden_of(
    plan: Plan, details: dict[str, Any], stock: Path, output: str
) -> list[tuple[dict[str, torch.Tensor], Any]]:
    """Arguments and expected output of every golden row, whose ids the published tokenizer gives for its text.

    The published ONNX graph gives the same output.
    """
    session = onnxruntime.InferenceSession(Path(plan.model_directory, details["onnx"]).read_bytes())
    encoder, found = Encoder(stock, details["max_length"]), []
    for row in pq.read_table(Path(plan.model_directory, details["golden"])).to_pylist():
        ids = np.array([row["input_ids"]], np.int64)
        types = np.zeros_like(ids)
        if "second_start" in row:
            first, second = row["text"].split("\x1e")
            encoded = encoder.encode_pairs([(first, second)])
            assert (encoded.ids[0], encoded.second_starts[0]) == (row["input_ids"], row["second_start"])
            types[:, row["second_start"] :] = 1
        else:
            assert encoder.encode([row["text"]])[0] == row["input_ids"]
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}
        (given,) = session.run([output], {entry.name: inputs[entry.name] for entry in session.get_inputs()})
        np.testing.assert_allclose(given[0], row[output], atol=1e-4, rtol=1e-4)
        found.append(({name: torch.from_numpy(value) for name, value in inputs.items()}, row[output]))
    return found


def scored_pairs(count: int) -> list[Document]:
    """Pairs with two labels: label 1 where both texts hold a word of one kind; also a number, and sets of labels."""
    chance, found = random.Random(5), []
    for words in sentences(count, seed=5, words=(1, 5)):
        kinds = [chance.choice([GOOD, BAD]), chance.choice([GOOD, BAD])]
        first, second = ([*chance.choices(COMMON, k=2), chance.choice(kind)] for kind in kinds)
        same = int(kinds[0] is kinds[1])
        found.append(
            Document(
                " ".join([*(word for word in words if word in COMMON), *first]),
                label_id=same,
                label_ids=[same],
                target=float(same),
                second_text=" ".join(second),
            )
        )
    return list({(document.text, document.second_text): document for document in found}.values())
