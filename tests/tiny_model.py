"""A tiny published classifier, made without training: random weights, real files, true golden rows."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel

from mapring.contract import FileEntry, Manifest, code_version, publish, utc_now, write_file
from mapring.settings import output_settings
from mapring.settings.normalization import Normalization
from mapring.text import Encoder
from tests.tiny import sentence

LABELS = ["negative", "neutral", "positive"]


def publish_tiny_model(
    directory: str,
    tokenizer: Path,
    fingerprint: str,
    *,
    seed: int = 1,
    golden_shift: float = 0,
    broken_token: str = "",
    with_onnx: bool = False,
) -> Path:
    """Publish a BERT of two narrow layers; returns its transformers directory.

    `golden_shift` is added to the golden logits, to make a model that does not give what it says. Of
    texts that hold `broken_token` the logits are NaN. An ONNX graph costs seconds.
    """
    torch.manual_seed(seed)
    vocabulary = json.loads((tokenizer / "tokenizer.json").read_text())["model"]["vocab"]
    config = BertConfig(
        vocab_size=max(vocabulary.values()) + 1,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=32,
        num_labels=3,
        initializer_range=0.4,
    )
    model = BertForSequenceClassification(config).eval()
    if broken_token:
        with torch.no_grad():
            model.bert.embeddings.word_embeddings.weight[vocabulary[broken_token]] = torch.nan
    stock = Path(directory, "transformers-0")
    model.save_pretrained(stock)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (stock / name).write_bytes((tokenizer / name).read_bytes())
    encoder = Encoder(stock, 32)
    texts = [sentence(number)[0] for number in range(0, 60, 6)]
    ids = encoder.encode(texts)
    with torch.inference_mode():
        logits = [(model(torch.tensor([row])).logits[0] + golden_shift).tolist() for row in ids]
    if with_onnx:
        write_onnx(model, Path(directory, "model-0.onnx"))
    golden = {"text": texts, "input_ids": ids, "logits": logits}
    pq.write_table(pa.table(golden), Path(directory, "golden-0.parquet"))
    entries = [
        FileEntry.of(str(path.relative_to(directory)), path.read_bytes())
        for path in sorted(Path(directory).rglob("*"))
        if path.is_file()
    ]
    manifest = Manifest(
        kind="model",
        fingerprint=fingerprint,
        created=utc_now(),
        code_version=code_version(),
        settings={},
        inputs=(),
        files=(*entries, write_file(directory, "card.md", b"tiny")),
        details={
            "task": "classify",
            "labels": LABELS,
            "max_length": 32,
            "text": output_settings(Normalization()),
            "transformers": "transformers-0",
            "tokenizer": "transformers-0",
            "golden": "golden-0.parquet",
            **({"onnx": "model-0.onnx"} if with_onnx else {}),
        },
    )
    publish(directory, manifest)
    return stock


def write_onnx(model: BertForSequenceClassification, path: Path) -> None:
    """The graph of a model with free sizes, as trainings publish it."""

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
        ) -> torch.Tensor:
            return self.model(input_ids, attention_mask, token_type_ids).logits

    names = ["input_ids", "attention_mask", "token_type_ids"]
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own use of deprecated calls
        program = torch.onnx.export(
            Logits().eval(),
            kwargs={name: torch.ones(2, 7, dtype=torch.int64) for name in names},
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=dict.fromkeys(names, free),
            opset_version=18,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(path, external_data=False)


def write_base_model(directory: Path) -> None:
    """Make a tokenizer's directory one of a base model, too: a BERT of two narrow layers with random weights."""
    torch.manual_seed(3)
    vocabulary = json.loads((directory / "tokenizer.json").read_text())["model"]["vocab"]
    config = BertConfig(
        vocab_size=max(vocabulary.values()) + 1,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(directory)
