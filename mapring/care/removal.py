"""Remove published directories so that a kill at any moment leaves garbage, and never a half-published thing.

First a note that it is done on purpose, then the record, which makes it unpublished, then the manifest, then the rest.
What a kill leaves is told by the note and removed by the next `mapring vacuum`.
"""

from __future__ import annotations

import contextlib

from mapring import storage
from mapring.contract import RECORD_NAME
from mapring.contract.retired import note_retired


def remove_published(directory: str, why: str) -> None:
    """Remove `<run_dir>/<folder>/<fingerprint>`, published or not; nothing happens where there is none."""
    run_dir, folder, name = directory.rstrip("/").rsplit("/", 2)
    try:
        record = storage.read_bytes(storage.join(directory, RECORD_NAME))
    except FileNotFoundError:  # never published, or a kill came between record and rest
        record = None
    if record is not None:
        note_retired(run_dir, folder, name, record, why)
    remove_directory(directory)


def remove_directory(directory: str) -> None:
    """Remove a directory that no other one refers to, such as a checkpoint: record first, then manifest, then rest."""
    storage.remove_file(storage.join(directory, RECORD_NAME))
    for name in storage.list_names(directory):
        if name.startswith("manifest-"):
            storage.remove_file(storage.join(directory, name))
    _remove_tree(directory)


def remove_training(directory: str) -> None:
    """Remove a training directory; its checkpoints go one by one, the oldest first, so that the newest is whole."""
    checkpoints = storage.join(directory, "checkpoints")
    for name in storage.list_names(checkpoints):
        remove_directory(storage.join(checkpoints, name))
    _remove_tree(directory)


def _remove_tree(directory: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # another vacuum was faster with one of the files
        storage.remove_tree(directory)
