"""Published shards, looked at before a training starts: are they what their manifest says, and is every label there?

A local file is read whole, above 1 GB/s, as are a pipeline's inputs; a remote one is asked for its size. Every rank
looks at its own lanes, and all end alike where one of them finds something.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from mapring import contract, storage
from mapring.contract import FileEntry, Manifest, canonical_json
from mapring.contract.schemas import LABEL_FIELDS
from training.ring import Ring, in_step
from training.ring.interface import AgreedError


def shards_digest(manifest: Manifest) -> str:
    """What the shards hold, without when and by which commit they were made: the same for the same bytes."""
    content = {"files": [vars(entry) for entry in manifest.files], "splits": manifest.details["splits"]}
    return hashlib.sha256(canonical_json(content)).hexdigest()


def check_shards(ring: Ring, directory: str) -> None:
    """Hold the files of this rank's lanes, and on rank 0 the tokenizer's, against the manifest.

    Raises:
        AgreedError: on all ranks, where one of them found a file missing or changed.
    """
    manifest = contract.read_manifest(directory)
    wanted = {path for split in manifest.details["splits"] for path in files_of_rank(manifest, split, ring)}
    if ring.rank == 0:
        wanted |= {entry.path for entry in manifest.files_below(manifest.details["tokenizer"]["path"])}
    problems = list(in_step(ring, _looked_at(directory, manifest, wanted)))  # all, for others wait to hear of the last
    found = next((told for told in problems if told is not None), None)
    problem = next((told for told in ring.allgather_object(found) if told is not None), None)
    if problem is not None:
        raise AgreedError(
            f"{problem}; the shards were changed after they were published: remove {directory} and preprocess again"
        )


def rows_of_labels(ring: Ring, directory: str, labels: int) -> list[int]:
    """How many rows of the training split have each of so many labels, over all ranks."""

    def counted(column: pa.ChunkedArray) -> torch.Tensor:
        flat = pc.list_flatten(column) if pa.types.is_list(column.type) else column
        return torch.from_numpy(np.bincount(flat.drop_null().to_numpy(), minlength=labels))

    found: list[int] = _summed(ring, directory, "train", torch.zeros(labels, dtype=torch.int64), counted).tolist()
    return found


def labelled_rows(ring: Ring, directory: str, split: str) -> int:
    """How many rows of a split have a label, a set of labels, which may be empty, or a number; over all ranks."""
    none = torch.zeros(1, dtype=torch.int64)
    return int(_summed(ring, directory, split, none, lambda column: torch.tensor([len(column) - column.null_count])))


def _summed(
    ring: Ring, directory: str, split: str, counts: torch.Tensor, counted: Callable[[pa.ChunkedArray], torch.Tensor]
) -> torch.Tensor:
    """`counts` and what is counted in the column of labels of each of a split's files."""
    manifest = contract.read_manifest(directory)
    name = LABEL_FIELDS[manifest.details.get("label_kind", "one")].name

    def of_files() -> Iterator[torch.Tensor]:
        for path in files_of_rank(manifest, split, ring):
            with storage.open_read(storage.join(directory, path)) as handle:
                yield counted(pq.read_table(handle, columns=[name])[name])

    for found in in_step(ring, of_files()):
        counts += found
    ring.allreduce_sum([counts])
    return counts


def files_of_rank(manifest: Manifest, split: str, ring: Ring) -> list[str]:
    """Paths of the files of this rank's lanes of a split, below the shards' directory."""
    lanes = manifest.details["splits"][split]["shards"]
    return [str(file["path"]) for lane in lanes[ring.rank :: ring.size] for file in lane]


def _looked_at(directory: str, manifest: Manifest, wanted: set[str]) -> Iterator[str | None]:
    """What is wrong with each file of these paths, None where nothing is."""
    for entry in manifest.files:
        if entry.path in wanted:
            yield _problem(storage.join(directory, entry.path), entry)


def _problem(uri: str, entry: FileEntry) -> str | None:
    try:
        size = storage.size(uri)
        if size != entry.bytes:
            return f"{uri}: found {size} bytes, the manifest says {entry.bytes}"
        if storage.local_path(uri) is not None and storage.sha256(uri) != entry.sha256:
            return f"{uri}: its checksum differs from the manifest"
    except OSError as error:
        return f"{uri}: cannot be read ({error})"
    return None
