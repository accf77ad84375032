"""Tiny published models of every task, made without training: random weights, real files, true golden rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn
from torch.nn import functional
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from mapring.contract import FileEntry, Manifest, code_version, publish, utc_now
from mapring.pairs import SEPARATOR
from mapring.settings import output_settings
from mapring.settings.normalization import Normalization
from mapring.text import Encoder
from tests.training.shards import tiny_model
from tests.training.tiny_plan import WORDS

LABELS = ["bad", "good", "neither"]
MAX_LENGTH = 16
TEXTS = [
    " ".join(WORDS[(number * 7 + place * place) % len(WORDS)] for place in range(1 + number % 17))
    for number in range(40)
]
PAIRS = [f"{first}{SEPARATOR}{second}" for first, second in zip(TEXTS, reversed(TEXTS), strict=True)]


def made_model(task: str, vocabulary: dict[str, int], architecture: str = "gpt2") -> nn.Module:
    """A model of two narrow layers for a task; decoders are a GPT-2 or a Llama. Seed torch before."""
    size = {"vocab_size": len(vocabulary), "pad_token_id": 0}
    ends = {"bos_token_id": vocabulary["[CLS]"], "eos_token_id": vocabulary["[SEP]"]}
    if task == "clm" and architecture == "gpt2":
        config = GPT2Config(**size, **ends, n_embd=32, n_layer=2, n_head=2, n_positions=48, initializer_range=0.4)
        return GPT2LMHeadModel(config).eval()
    if task == "clm":
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        llama = LlamaConfig(
            **size, **ends, **sizes, intermediate_size=48, max_position_embeddings=48, initializer_range=0.4
        )
        return LlamaForCausalLM(llama).eval()
    config = BertConfig(
        **size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=32,
        num_labels=1 if task == "regression" else len(LABELS),
        initializer_range=0.4,
    )
    return (BertModel if task == "embed" else BertForSequenceClassification)(config).eval()


def publish_made(
    directory: Path,
    task: str,
    *,
    model: nn.Module | None = None,
    architecture: str = "gpt2",
    is_pair: bool = False,
    temperature: float | None = None,
    golden_shift: float = 0.0,
    texts: Sequence[str] | None = None,
    fingerprint: str = "f" * 16,
) -> nn.Module:
    """Publish a model, made here unless given, at a directory; returns it.

    `golden_shift` is added to the golden outputs, to make a model that does not give what it says; `texts` are those
    that golden rows are taken from.
    """
    tokenizer = tiny_model(directory.parent / f"{directory.name}-tokenizer", WORDS)
    vocabulary = json.loads((tokenizer / "tokenizer.json").read_text())["model"]["vocab"]
    torch.manual_seed(5)
    model = model or made_model(task, vocabulary, architecture)
    stock = directory / "transformers-0"
    model.save_pretrained(stock)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (stock / name).write_bytes((tokenizer / name).read_bytes())
    chosen = (texts or (PAIRS if is_pair else TEXTS))[::8]
    golden = _golden(model, task, Encoder(stock, MAX_LENGTH), chosen, is_pair, golden_shift)
    pq.write_table(pa.table(golden), directory / "golden-0.parquet")
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    manifest = Manifest(
        kind="model",
        fingerprint=fingerprint,
        created=utc_now(),
        code_version=code_version(),
        settings={},
        inputs=(),
        files=tuple(FileEntry.of(str(path.relative_to(directory)), path.read_bytes()) for path in files),
        details={
            "task": task,
            "method": "full",
            "labels": LABELS if task in ("classify", "multilabel") else [],
            "max_length": MAX_LENGTH,
            "text": output_settings(Normalization()),
            "transformers": stock.name,
            "tokenizer": stock.name,
            "golden": "golden-0.parquet",
            "temperature": temperature,
        },
    )
    assert publish(str(directory), manifest)
    return model


def stock_inputs(encoder: Encoder, text: str, is_pair: bool) -> dict[str, torch.Tensor]:
    """The arguments of stock transformers for one text or joined pair, (1, T)."""
    if not is_pair:
        ids = encoder.encode([text])[0]
        return {"input_ids": torch.tensor([ids])}
    found = encoder.encode_pairs([tuple(text.split(SEPARATOR))])  # type: ignore[list-item]
    start, ids = found.second_starts[0], found.ids[0]
    types = [0] * start + [1] * (len(ids) - start)
    return {"input_ids": torch.tensor([ids]), "token_type_ids": torch.tensor([types])}


def _golden(
    model: Any, task: str, encoder: Encoder, texts: Sequence[str], is_pair: bool, shift: float
) -> dict[str, list[Any]]:
    outputs, ids, starts = [], [], []
    with torch.inference_mode():
        for text in texts:
            given = stock_inputs(encoder, text, is_pair)
            ids.append(given["input_ids"][0].tolist())
            starts.append(int((given.get("token_type_ids", torch.zeros(1, 1)) == 0).sum()))
            if task == "clm":
                given.pop("token_type_ids", None)  # decoders have none, as training sees it
            if task == "embed":
                output = functional.normalize(model(**given).last_hidden_state[0].mean(0), dim=0)
            elif task == "clm":
                output = model(**given).logits[0, len(ids[-1]) // 2]
            else:
                output = model(**given).logits[0]
            outputs.append((output + shift).tolist())
    golden = {"text": list(texts), "input_ids": ids, "embedding" if task == "embed" else "logits": outputs}
    return {**golden, "second_start": starts} if is_pair else golden
