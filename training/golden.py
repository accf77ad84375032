"""Golden rows: ids, and the logits that the trained model gave them, replayed before the model is used."""

from __future__ import annotations

import io
from itertools import islice, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from mapring.contract import read_manifest
from mapring.errors import PublishedError, StageError
from mapring.text import Encoder
from training.reader import ShardReader

COUNT = 16
_POOL = 4096  # rows looked at to find the shortest, the longest and those between


class GoldenRow(NamedTuple):
    """Token ids, the text that they are of (None where shards hold none), and the model's fp32 logits without padding.

    Logits of a classifier are those of its classes, of a language model those of the vocabulary in the middle of the
    ids, at `len(input_ids) // 2`.
    """

    text: str | None
    input_ids: list[int]
    logits: list[float]


SCHEMA = pa.schema(
    [
        pa.field("text", pa.string()),
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("logits", pa.list_(pa.float32()), nullable=False),
    ]
)


def golden_rows(model: nn.Module, shards_directory: str, tokenizer: Path, max_length: int) -> list[GoldenRow]:
    """Compute up to 16 golden rows: the shortest, the longest, and evenly between by length.

    They come from the validation and test splits, or from the training split where those are empty.

    Raises:
        PublishedError: the shards hold other ids for a text than the tokenizer gives now.
        StageError: there is no row at all.
    """
    chosen = _choose(shards_directory)
    encoder = Encoder(tokenizer, max_length)
    model.eval()
    found = []
    with torch.inference_mode():
        for text, stored in chosen:
            ids = stored if text is None else encoder.encode([text])[0]
            if text is not None and ids != stored:
                raise PublishedError(
                    f"{shards_directory}: the tokenizer gives other ids for a text than preprocessing did "
                    f"({ids[:5]}... instead of {stored[:5]}...); use the same tokenizers version, or preprocess again"
                )
            row = torch.tensor([ids])  # (1, T)
            logits = middle_logits(model(input_ids=row, attention_mask=torch.ones_like(row)).logits)[0]  # (C,) or (V,)
            found.append(GoldenRow(text, ids, logits.float().tolist()))
    return found


def middle_logits(logits: torch.Tensor) -> torch.Tensor:
    """(B, C) as they are; of (B, T, V) those in the middle, (B, V)."""
    return logits if logits.ndim == 2 else logits[:, logits.shape[1] // 2]


def to_parquet(rows: list[GoldenRow]) -> bytes:
    """The rows as the bytes of a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row._asdict() for row in rows], SCHEMA), sink)
    return sink.getvalue()


def _choose(shards_directory: str) -> list[tuple[str | None, list[int]]]:
    pool: list[tuple[int, str, str | None, list[int]]] = []
    has_text = read_manifest(shards_directory).details.get("packing") is None
    for splits in (("validation", "test"), ("train",)):
        for split in splits:
            reader = ShardReader(shards_directory, split, text=has_text)
            rows = (
                (len(ids), doc_id, text, ids.tolist())
                for batch in reader.rows()
                for doc_id, text, ids in zip(
                    batch.doc_ids, batch.texts or repeat(None, len(batch.doc_ids)), batch.input_ids, strict=True
                )
            )
            pool.extend(islice(rows, _POOL))
        if pool:
            break
    if not pool:
        raise StageError(f"{shards_directory}: found no rows in any split, expected some; check the inputs")
    pool.sort(key=lambda row: row[:2])
    places = np.unique(np.linspace(0, len(pool) - 1, COUNT).round().astype(int))
    return [pool[place][2:] for place in places]
