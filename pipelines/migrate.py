"""`mapring migrate`: a run directory of an earlier version, brought to what this one reads; what cannot be is told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from mapring import storage
from mapring.care.standing import generations
from mapring.contract import RECORD_NAME, read_manifest
from mapring.contract.manifest import SCHEMA_VERSION
from mapring.errors import PublishedError
from mapring.progress import say
from mapring.run_directory import RunDirectory
from mapring.scores import migrations
from mapring.scores.seal import seal
from mapring.settings import load_settings
from pipelines.alone import alone

_STAGE = "migrate"
_MIGRATED = "mapring.migrated"  # in a commit: the version that it led to


def migrate(target: str, *, dry_run: bool) -> None:
    """Bring a run directory, given by its path or by a pipeline's YAML, to this version; `dry_run` only tells.

    Published directories are never written again: their manifests are brought to this version where they are read. Of
    the scores table columns are added by one commit.

    Raises:
        PublishedError: something cannot be migrated, all else was; or it is no run directory.
        StageError: a scheduler is at work.
    """
    is_config = target.endswith((".yaml", ".yml"))
    root = load_settings(target).run_dir if is_config else target
    scores = RunDirectory(root).scores
    has_scores = storage.exists(storage.join(scores, "_delta_log"))
    if not has_scores and next(_published(root), None) is None:
        told = f"{root}: found nothing published there"
        if not is_config:
            raise PublishedError(f"{told}; give a run directory, or the YAML of a pipeline that has one")
        say(_STAGE, f"{told} yet; nothing to migrate")
        return
    problems = [*_manifests(root)]
    if has_scores:
        problems.extend(_table(root, scores, target, dry_run=dry_run))
    for problem in problems:
        say(_STAGE, problem)
    if problems:
        raise PublishedError(f"{root}: {len(problems)} things cannot be migrated: {problems[0]}")


def _manifests(root: str) -> Iterator[str]:
    """Read all manifests, tell of what versions they are, and yield what is wrong with those that cannot be read."""
    versions: Counter[int] = Counter()
    for directory in _published(root):
        try:
            read_manifest(directory)
            versions[_written_version(directory)] += 1
        except PublishedError as error:
            yield str(error)
    for version, count in sorted(versions.items()):
        told = "as this mapring writes it" if version == SCHEMA_VERSION else f"is read as version {SCHEMA_VERSION}"
        say(_STAGE, f"{count:,} published directories of version {version}, {told}; nothing to write")


def _published(root: str) -> Iterator[str]:
    yield from (one.directory for one in generations(root) if one.is_published)
    training = storage.join(root, "training")
    for name in storage.list_names(training):
        checkpoints = storage.join(training, name, "checkpoints")
        for step in storage.list_names(checkpoints):
            if storage.exists(storage.join(checkpoints, step, RECORD_NAME)):
                yield storage.join(checkpoints, step)


def _written_version(directory: str) -> int:
    """The version that stands in a manifest that can be read."""
    name = json.loads(storage.read_bytes(storage.join(directory, RECORD_NAME)))["manifest"]
    return int(json.loads(storage.read_bytes(storage.join(directory, name)))["schema_version"])


def _table(root: str, uri: str, target: str, *, dry_run: bool) -> Iterator[str]:
    from deltalake import DeltaTable

    columns = [field.name for field in DeltaTable(uri).schema().fields]
    why_not = migrations.why_not(columns)
    if why_not is not None:
        yield f"{uri}: {why_not}"
        return
    version = migrations.version_of(columns)
    if version == migrations.TABLE_VERSION:
        say(_STAGE, f"the scores table is of version {version}, as this mapring writes it")
        if not dry_run:
            _seal_last(uri)
        return
    added = _missing(uri)
    told = f"the scores table from version {version} to {migrations.TABLE_VERSION}: columns {', '.join(added.names)}"
    if dry_run:
        say(_STAGE, f"would bring {told}, null in older rows")
        return
    with alone(RunDirectory(root), target):
        _add_columns(uri)
    say(_STAGE, f"brought {told}, null in older rows")


def _missing(uri: str) -> pa.Schema:
    """The columns that a table lacks, of all steps."""
    from deltalake import DeltaTable

    schema = pa.schema(DeltaTable(uri).schema().to_arrow())
    return pa.schema([field for field in migrations.migrated(schema) if field.name not in schema.names])


def _add_columns(uri: str) -> None:
    """Add the columns by one commit of metadata, and seal it; nothing happens where they are there."""
    from deltalake import CommitProperties, DeltaTable, Schema

    added = _missing(uri)
    if len(added):
        metadata = {_MIGRATED: str(migrations.TABLE_VERSION)}
        properties = CommitProperties(custom_metadata=metadata, max_commit_retries=0)
        DeltaTable(uri).alter.add_columns(Schema.from_arrow(added).fields, commit_properties=properties)
    _seal_last(uri)


def _seal_last(uri: str) -> None:
    """Seal the newest migration, which a kill may have left without."""
    from deltalake import DeltaTable

    for entry in DeltaTable(uri).history():
        if _MIGRATED in entry:
            seal(uri, entry["version"])
            return
