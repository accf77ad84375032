"""What held-out rows are like before a model sees them, as counts in the bins that scored rows are counted in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mapring import local_copies, storage
from mapring.contract import Manifest
from mapring.text import Encoder
from mapring.watch.bins import counted, length_bins, unknown_bins
from training.reader import ShardReader
from training.ring import Ring

_LANGUAGE_MEASURE = "language_score"


def reference_inputs(task: str, ring: Ring, shards_directory: str, split: str) -> dict[str, Any]:
    """Rows of a split by length, share of unknown tokens and language, each once; the same on any number of ranks.

    Args:
        task: of the model, which tells what it will be asked to score.
        ring: all ranks.
        shards_directory: the published shards.
        split: whose rows are counted.

    Returns:
        `tokens` and `unknown_share`, of the sequences that the model reads, None where these are not those it will
        score: packed ones, and pairs of whose texts it is asked one by one; the latter also where the tokenizer knows
        no unknown token. `languages`, None where preprocessing did not ask for any. Each is rows by bin.
    """
    reader = ShardReader(shards_directory, split, rank=ring.rank, size=ring.size)
    is_packed = reader.manifest.details.get("packing") is not None
    if is_packed or task == "embed":
        return {"tokens": None, "unknown_share": None, "languages": None}
    unknown_id = _encoder(shards_directory, reader.manifest).unknown_id
    tokens, unknown, languages = Counter[str](), Counter[str](), Counter[str]()
    ids: list[str] = []
    for rows in reader.rows():
        lengths = np.array([len(row) for row in rows.input_ids], np.int64)
        tokens.update(counted(length_bins(lengths)))
        if unknown_id is not None:
            found = np.array([int((row == unknown_id).sum()) for row in rows.input_ids], np.int64)
            unknown.update(counted(unknown_bins(found, lengths)))
        ids += rows.doc_ids
    for found_languages in _languages(shards_directory, reader.manifest, ids):
        languages.update(counted(found_languages))
    parts = ring.allgather_object((tokens, unknown, languages))
    return {
        name: dict(sorted(sum((part[place] for part in parts), Counter[str]()).items())) or None
        for place, name in enumerate(("tokens", "unknown_share", "languages"))
    }


def _encoder(shards_directory: str, manifest: Manifest) -> Encoder:
    tokenizer = storage.join(shards_directory, manifest.details["tokenizer"]["path"])
    return Encoder(local_copies.localize(tokenizer, Path.home() / ".cache" / "mapring"), None)


def _languages(shards_directory: str, manifest: Manifest, ids: list[str]) -> Iterator[pa.ChunkedArray]:
    """The languages of documents that have one, as preprocessing identified them to filter by."""
    measures = manifest.details.get("measures")
    if measures is None or _LANGUAGE_MEASURE not in measures["names"]:
        return
    own = pa.array(ids, pa.string())
    for entry in manifest.files_below("measures"):
        with storage.open_read(storage.join(shards_directory, entry.path)) as handle:
            for batch in pq.ParquetFile(handle).iter_batches(columns=["doc_id", "language"]):
                yield batch.filter(pc.is_in(batch["doc_id"], value_set=own))["language"].drop_null()
