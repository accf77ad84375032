"""Arrow schemas of the published tables. Binary digests are lowercase hex, so that every reader can show them."""

from __future__ import annotations

import pyarrow as pa

SHARD = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),  # 32 hex digits, derived from the source position
        pa.field("source_id", pa.string()),  # the user's own id, where a column was named
        pa.field("source", pa.string(), nullable=False),  # name of the input
        pa.field("text", pa.string(), nullable=False),  # normalized
        pa.field("label_id", pa.int32()),  # index into the manifest's labels
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),  # with special tokens, truncated
    ]
)

DROP = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("source_id", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),  # below the input's root
        pa.field("record", pa.int64(), nullable=False),  # line (text, jsonl, csv) or row (parquet), from 1
        pa.field("stage", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("measured", pa.string()),
        pa.field("threshold", pa.string()),
        pa.field("kept_doc_id", pa.string()),  # for duplicates
        pa.field("similarity", pa.float64()),  # for duplicates
        pa.field("detail", pa.string()),
    ]
)

LABEL_COUNTS = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
    ]
)

LENGTH_COUNTS = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),  # length of a document in tokens, after truncation
        pa.field("documents", pa.int64(), nullable=False),
    ]
)

SKETCH = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("shingles", pa.list_(pa.int64()), nullable=False),  # 64-bit hashes, sorted, each once
        pa.field("bands", pa.list_(pa.int64()), nullable=False),  # keys of the MinHash bands
    ]
)

SCORE = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("source_id", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("record", pa.int64(), nullable=False),
        pa.field("label", pa.string()),  # null where `error` says why
        pa.field("score", pa.float64()),  # probability of `label`
        pa.field("probabilities", pa.list_(pa.float32())),  # in the order of the model's labels
        pa.field("error", pa.string()),  # rule that kept the row from being scored
        pa.field("detail", pa.string()),
        pa.field("model_fingerprint", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("scored_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
