"""Small published shards, made straight from rows: what the trainer needs and no Spark."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mapring import contract
from mapring.contract.schemas import LABEL_FIELDS, LabelKind, shard_schema
from mapring.pairs import SEPARATOR
from mapring.text import Encoder


class Document(NamedTuple):
    text: str
    label_id: int | None = None
    source: str = "made"
    label_ids: Sequence[int] | None = None  # for shards of several labels a row
    target: float | None = None  # for shards of numbers
    second_text: str | None = None  # for shards of pairs; of all documents, or of none


def digest_of(text: str) -> str:
    """32 hex digits that the text alone determines."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def split_of(documents: Sequence[Document], share: float) -> dict[str, list[Document]]:
    """Divide documents at random, always in the same way: `share` of them each to validation and test."""
    ranked = sorted(documents, key=lambda document: digest_of(document.text))
    held = int(len(ranked) * share)
    return {"validation": ranked[:held], "test": ranked[held : 2 * held], "train": ranked[2 * held :]}


def build_shards(
    directory: str,
    splits: dict[str, list[Document]],
    *,
    labels: Sequence[str],
    tokenizer: Path,
    lanes: int = 4,
    max_length: int = 32,
    rows_per_shard: int = 48,
    rows_per_row_group: int = 16,
    fingerprint: str = "0" * 16,
    weights: Mapping[str, float] | None = None,
    code_version: str = "test",
    label_kind: LabelKind = "one",
) -> None:
    """Publish shards at `directory`: row g of a split is in lane g mod `lanes`; `weights` are those of the sources.

    Of each document the label of `label_kind` is stored; where documents have second texts, the shards are of pairs.
    """
    encoder = Encoder(tokenizer, max_length)
    has_pairs = any(document.second_text is not None for documents in splits.values() for document in documents)
    schema, label = shard_schema(label_kind, has_pairs=has_pairs), LABEL_FIELDS[label_kind].name
    files, described = [], {}
    for name, documents in splits.items():
        tokens, lane_files = 0, []
        rows = []
        ids_of, second_starts = _encoded(encoder, documents, has_pairs)
        for document, ids, second_start in zip(documents, ids_of, second_starts, strict=True):
            tokens += len(ids)
            text = document.text + (f"{SEPARATOR}{document.second_text}" if has_pairs else "")
            columns = {
                "doc_id": digest_of(text + name),
                "source": document.source,
                "text": text,
                label: getattr(document, label),
                "input_ids": ids,
                "second_start": second_start,
            }
            rows.append([columns.get(column) for column in schema.names])
        for lane in range(lanes):
            own, entries = rows[lane::lanes], []
            for start in range(0, len(own), rows_per_shard):
                part = own[start : start + rows_per_shard]
                table = pa.Table.from_arrays(
                    [
                        pa.array(column, field.type)
                        for column, field in zip(zip(*part, strict=True), schema, strict=True)
                    ],
                    schema=schema,
                )
                sink = io.BytesIO()
                pq.write_table(table, sink, row_group_size=rows_per_row_group)
                path = "data/" + contract.content_name(f"{name}-{lane:05d}", sink.getvalue(), ".parquet")
                files.append(contract.write_file(directory, path, sink.getvalue(), len(part)))
                entries.append({"path": path, "rows": len(part)})
            lane_files.append(entries)
        described[name] = {"rows": len(rows), "tokens": tokens, "shards": lane_files}
    names = sorted(path.name for path in tokenizer.iterdir() if path.name.startswith("tokenizer"))
    files += [contract.write_file(directory, f"tokenizer/{name}", (tokenizer / name).read_bytes()) for name in names]
    kept = sum(len(documents) for documents in splits.values())
    details = {
        "counts": {"read": kept, "kept": kept, "dropped": {}},
        "lanes": lanes,
        "label_kind": label_kind,
        "labels": list(labels),
        "pairs": has_pairs,
        "max_length": max_length,
        "tokenizer": {"path": "tokenizer", "files": names},
        "splits": described,
        "rows_per_row_group": rows_per_row_group,
        "sources": {source: {"weight": weight} for source, weight in (weights or {"made": 1.0}).items()},
    }
    manifest = contract.Manifest(
        kind="shards",
        fingerprint=fingerprint,
        created=contract.utc_now(),
        code_version=code_version,
        settings={},
        inputs=(),
        files=tuple(files),
        details=details,
    )
    assert contract.publish(directory, manifest)


def _encoded(
    encoder: Encoder, documents: Sequence[Document], has_pairs: bool
) -> tuple[list[list[int]], Sequence[int | None]]:
    if has_pairs:
        return encoder.encode_pairs([(document.text, document.second_text or "") for document in documents])
    return encoder.encode([document.text for document in documents]), [None] * len(documents)


def tiny_model(directory: Path, words: Sequence[str], *, dropout: float = 0.1) -> Path:
    """A transformers directory with a random BERT of 2 layers and its WordPiece tokenizer."""
    from transformers import BertConfig, BertModel

    directory.mkdir(parents=True)
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    import torch

    torch.manual_seed(3)
    BertModel(config).save_pretrained(directory)
    _write_tokenizer(directory, vocabulary)
    return directory


def _write_tokenizer(directory: Path, vocabulary: dict[str, int]) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    content = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "model_max_length": 64}
    (directory / "tokenizer_config.json").write_text(json.dumps(content))
