"""Golden rows: ids, and the output that the trained model gave them, replayed before the model is used."""

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
from mapring.pairs import split_pair
from mapring.text import Encoder
from training.reader import NO_PAIR, ShardReader
from training.tasks.interface import Task
from training.tasks.pairs import types_from

COUNT = 16
_POOL = 4096  # rows looked at to find the shortest, the longest and those between


class GoldenRow(NamedTuple):
    """Token ids, the text that they are of (None where shards hold none), and the model's fp32 output without padding.

    Logits of a classifier are those of its classes, of a language model those of the vocabulary in the middle of the
    ids, at `len(input_ids) // 2`. Of a pair the text is both, as `mapring.pairs` joins them, and `second_start` the
    place of the second text's first token, from which on token types are 1; None of single texts.
    """

    text: str | None
    input_ids: list[int]
    second_start: int | None
    output: list[float]


class _Chosen(NamedTuple):
    text: str | None
    input_ids: list[int]
    second_start: int | None


def golden_rows(
    task: Task, model: nn.Module, shards_directory: str, tokenizer: Path, max_length: int
) -> list[GoldenRow]:
    """Compute up to 16 golden rows: the shortest, the longest, and evenly between by length.

    They come from the validation and test splits, or from the training split where those are empty. Of pairs whose
    texts the task looks at apart they are the first texts.

    Raises:
        PublishedError: the shards hold other ids for a text than the tokenizer gives now.
        StageError: there is no row at all.
    """
    chosen = _choose(shards_directory)
    encoder = Encoder(tokenizer, max_length)
    model.eval()
    found = []
    with torch.inference_mode():
        for row in chosen:
            _check_ids(row, encoder, shards_directory)
            text, ids, second_start = row
            if task.texts_apart and text is not None:
                text, second_start = split_pair(text)[0], None
                ids = encoder.encode([text])[0]
            output = middle_logits(task.output(model, _inputs(ids, second_start, model)))[0]  # (C,), (V,) or (H,)
            found.append(GoldenRow(text, ids, second_start, output.float().tolist()))
    return found


def _check_ids(row: _Chosen, encoder: Encoder, shards_directory: str) -> None:
    if row.text is None:
        return
    if row.second_start is None:
        ids = encoder.encode([row.text])[0]
    else:
        ids = encoder.encode_pairs([split_pair(row.text)]).ids[0]
    if ids != row.input_ids:
        raise PublishedError(
            f"{shards_directory}: the tokenizer gives other ids for a text than preprocessing did ({ids[:5]}... "
            f"instead of {row.input_ids[:5]}...); use the same tokenizers version, or preprocess again"
        )


def _inputs(ids: list[int], second_start: int | None, model: nn.Module) -> dict[str, torch.Tensor]:
    """The model's arguments for one row, (1, T)."""
    mask = torch.ones(1, len(ids), dtype=torch.int64)
    types = {} if second_start is None else types_from(np.array([second_start]), mask, model)
    return {"input_ids": torch.tensor([ids]), "attention_mask": mask, **types}


def middle_logits(logits: torch.Tensor) -> torch.Tensor:
    """(B, C) as they are; of (B, T, V) those in the middle, (B, V)."""
    return logits if logits.ndim == 2 else logits[:, logits.shape[1] // 2]


def to_parquet(rows: list[GoldenRow], output_name: str) -> bytes:
    """The rows as the bytes of a Parquet file, whose columns are those of a row; `second_start` only of pairs.

    Args:
        rows: at least one.
        output_name: what the model gives, and the name of that column: logits or embedding.
    """
    fields = {
        "text": pa.array([row.text for row in rows], pa.string()),
        "input_ids": pa.array([row.input_ids for row in rows], pa.list_(pa.int32())),
        output_name: pa.array([row.output for row in rows], pa.list_(pa.float32())),
    }
    if rows[0].second_start is not None:
        fields["second_start"] = pa.array([row.second_start for row in rows], pa.int32())
    schema = pa.schema([pa.field(name, values.type, nullable=name == "text") for name, values in fields.items()])
    sink = io.BytesIO()
    pq.write_table(pa.table(list(fields.values()), schema=schema), sink)
    return sink.getvalue()


def _choose(shards_directory: str) -> list[_Chosen]:
    pool: list[tuple[int, str, _Chosen]] = []
    has_text = read_manifest(shards_directory).details.get("packing") is None
    for splits in (("validation", "test"), ("train",)):
        for split in splits:
            reader = ShardReader(shards_directory, split, text=has_text)
            rows = (
                (len(ids), doc_id, _Chosen(text, ids.tolist(), None if start == NO_PAIR else start))
                for batch in reader.rows()
                for doc_id, text, ids, start in zip(
                    batch.doc_ids,
                    batch.texts or repeat(None, len(batch.doc_ids)),
                    batch.input_ids,
                    batch.second_starts.tolist(),
                    strict=True,
                )
                if len(ids)  # a row without tokens is never computed
            )
            pool.extend(islice(rows, _POOL))
        if pool:
            break
    if not pool:
        raise StageError(f"{shards_directory}: found no rows with tokens in any split, expected some; check the inputs")
    pool.sort(key=lambda row: row[:2])
    places = np.unique(np.linspace(0, len(pool) - 1, COUNT).round().astype(int))
    return [pool[place][2] for place in places]
