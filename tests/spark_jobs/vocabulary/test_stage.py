"""A tokenizer trained inside the job: the same file whatever the partitions and the order of the files."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from mapring.contract import read_manifest
from mapring.plan import make_plan
from spark_jobs.preprocess import preprocess
from tests.tiny import sentence, write_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


def trained(root: Path, kind: str, *overrides: str, reverse: bool = False) -> bytes:
    """The tokenizer.json of two files of prose."""
    config, _ = write_world(root)
    names = ["a.txt", "b.txt"]
    for name, start in zip(reversed(names) if reverse else names, (0, 150), strict=True):
        (root / name).write_text(
            "".join(f"{sentence(number)[0]}, \u4f60\u597d!\n" for number in range(start, start + 150))
        )
    inputs = f"[{{name: prose, path: '{root}/*.txt', format: text}}]"
    tokenizer = f"{{train: {kind}, vocabulary_size: 200}}"
    plan = make_plan(config, [f"preprocess.inputs={inputs}", f"preprocess.tokenizer={tokenizer}", *overrides])
    preprocess(plan)
    details = read_manifest(plan.shards_directory).details["tokenizer"]
    assert details["trained"]["counts_scaled_to"] is None
    assert details["trained"]["words_cut_off"] == 0 and details["trained"]["words"] > 100
    loaded = AutoTokenizer.from_pretrained(str(Path(plan.shards_directory, "tokenizer")))
    assert loaded.unk_token_id not in loaded("the film was good")["input_ids"]
    return Path(plan.shards_directory, "tokenizer", "tokenizer.json").read_bytes()


def test_a_tokenizer_is_trained_in_the_job_and_published_with_the_shards(tmp_path: Path) -> None:
    assert trained(tmp_path, "bpe", "spark.partitions=7")


@pytest.mark.slow  # two whole preprocessings; what the kinds do not share is tested in test_learning.py
@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece"])
def test_the_same_file_whatever_the_partitions_and_the_order_of_files(tmp_path: Path, kind: str) -> None:
    first = trained(tmp_path / "1", kind, "spark.partitions=1")
    assert trained(tmp_path / "2", kind, "spark.partitions=7", reverse=True) == first
