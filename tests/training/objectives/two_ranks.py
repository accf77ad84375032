"""A training on two ranks beside the same one alone."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from tests.training.conftest import PlanMaker
from tests.training.running import fit, weights
from tests.training.shards import Document
from tests.training.thread_ring import ThreadRing, run_ranks
from tests.training.tiny_plan import made_documents
from training import preparation
from training.loop import Training
from training.tasks import open_task


def uneven_documents() -> list[Document]:
    """330 documents of two labels, one of them much rarer."""
    documents = made_documents(330)
    return [Document(item.text, 1 if number % 6 else item.label_id) for number, item in enumerate(documents)]


def two_ranks_as_one(
    make_tiny_plan: PlanMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[Training, list[Training]]:
    """Train `uneven_documents` alone and on two ranks, and hold that all end with the same weights; the trainings.

    The model is one without dropout, which ranks draw differently; so R-Drop's two passes are equal, as is not allowed
    elsewhere.
    """
    monkeypatch.setattr(preparation, "check_passes_differ", lambda *_: None)
    documents = uneven_documents()
    alone, _ = fit(make_tiny_plan(*words, f"run_dir={tmp_path}/one", documents=documents))
    plan = make_tiny_plan(*words, f"run_dir={tmp_path}/two", documents=documents)
    with monkeypatch.context() as patch:
        built = preparation.build_trainable(plan, open_task(plan), 15)
        patch.setattr(preparation, "build_trainable", lambda *_: copy.deepcopy(built))

        def work(ring: ThreadRing) -> Training:
            torch.set_num_threads(1)
            return fit(plan, ring)[0]

        ranks = run_ranks(2, work)
    first, second = (weights(rank) for rank in ranks)
    for name, tensor in weights(alone).items():
        torch.testing.assert_close(first[name], tensor, rtol=0, atol=3e-4)
        assert torch.equal(first[name], second[name])
    return alone, ranks
