"""`mapring vacuum`: what of a run directory is no longer needed, told with bytes and reasons, and removed."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

from mapring import storage
from mapring.base_model import named_directory
from mapring.care.removal import remove_directory, remove_published, remove_training
from mapring.care.retention import InUse, Removal, choose
from mapring.care.standing import KINDS, generations, scratch, trainings
from mapring.contract import is_published, read_manifest
from mapring.plan import Plan, make_plan
from mapring.progress import bytes_text, say
from mapring.scores.removal import backend_in_use, dead_files, kept_versions, remove_dead_files
from mapring.scores.table import read_table
from pipelines.alone import alone

_STAGE = "vacuum"


def vacuum(config: str, overrides: Sequence[str], *, dry_run: bool, now: datetime.datetime | None = None) -> None:
    """Remove what retention does not keep; with `dry_run` only tell it.

    `now` is the moment from which ages are counted, this one if None.

    Raises:
        SettingsError: a setting is wrong, or an input is missing, without which it is not known what is in use.
        StageError: a scheduler is at work on the run directory.
    """
    plan = make_plan(config, overrides)
    moment = now or datetime.datetime.now(datetime.UTC)
    if dry_run:
        freed = sum(_tell(removal, plan, is_done=False) for removal in what_goes(plan, moment))
        freed += _scores(plan, dry_run=True)
        say(_STAGE, f"would free {bytes_text(freed)} in {plan.run.root}")
        return
    with alone(plan.run, config):
        freed = 0
        for removal in what_goes(plan, moment):
            _remove(removal)
            freed += _tell(removal, plan, is_done=True)
        freed += _scores(plan, dry_run=False)
    say(_STAGE, f"freed {bytes_text(freed)} in {plan.run.root}")


def what_goes(plan: Plan, now: datetime.datetime) -> list[Removal]:
    """The directories that retention does not keep, and dead files of those that stay."""
    root = plan.run.root
    return choose(
        tuple(generations(root)), tuple(trainings(root)), scratch(root), in_use(plan), plan.settings.retention, now
    )


def in_use(plan: Plan) -> InUse:
    """What the settings name, also as directories, and what the rows of the scores table were made with."""
    named = {
        plan.shards,
        plan.model,
        *(
            made
            for made in (plan.bank, plan.ranker, plan.decoder, plan.pairs, plan.recommender, plan.recommendations)
            if made is not None
        ),
    }
    if plan.settings.score is not None:
        named.add(plan.scoring_model)
        backend = backend_in_use(plan.run.scores)
        named |= {backend} if backend is not None else set()
    named |= {read_manifest(path).fingerprint for path in _directories(plan)}
    table = read_table(plan.run.scores)
    return InUse(named=frozenset(named), live=frozenset(table.models if table is not None else ()))


def _directories(plan: Plan) -> Iterator[str]:
    """Published directories that settings name: as such, by the run directory they are in, or by a path inside."""
    train, preprocess = plan.settings.train, plan.settings.preprocess
    score = plan.settings.score
    named = (
        None if preprocess.tokenizer is None else preprocess.tokenizer.directory,
        train.model.directory,
        train.distillation.teacher,
        train.replay.shards,
        None if score is None or score.draft is None else score.draft.model,
        plan.named_reranker,
        *preprocess.duplicates.earlier,
    )
    for path in named:
        published = None if path is None else _published_around(named_directory(path))
        if published is not None:
            yield published


def _published_around(path: str) -> str | None:
    """A directory if it is published, else the nearest one above it that is; None where none is."""
    local = storage.local_path(path)
    if local is not None:
        path = str(local.resolve())
    above, name = path.rstrip("/"), "?"
    while name and not above.endswith(":/"):  # up to the root, or to what names a store
        if is_published(above):
            return above
        above, _, name = above.rpartition("/")
    return None


def _remove(removal: Removal) -> None:
    if removal.files is not None:
        for uri in removal.files:
            storage.remove_file(uri)
    elif removal.kind in KINDS:
        remove_published(removal.directory, removal.why)
    elif removal.kind == "trainings":
        remove_training(removal.directory)
    else:
        remove_directory(removal.directory)


def _tell(removal: Removal, plan: Plan, *, is_done: bool) -> int:
    what = removal.directory.removeprefix(plan.run.root).lstrip("/")
    files = "" if removal.files is None else "files of "
    verb = "removed" if is_done else "would remove"
    say(_STAGE, f"{verb} {files}{what}, {bytes_text(removal.bytes)}: {removal.why}")
    return removal.bytes


def _scores(plan: Plan, *, dry_run: bool) -> int:
    """Remove, or count, the dead files of the scores table; returns their bytes."""
    uri, retention = plan.run.scores, plan.settings.retention
    if not storage.exists(storage.join(uri, "_delta_log")):
        return 0
    keep = kept_versions(uri, retention.table_versions)
    chosen = dead_files if dry_run else remove_dead_files
    dead = chosen(uri, retention.min_age_hours, keep)
    size = sum(file.bytes for file in dead)
    if dead:
        say(
            _STAGE,
            f"{'would remove' if dry_run else 'removed'} {len(dead):,} files of scores, {bytes_text(size)}: no version "
            f"of the newest {retention.table_versions} or of the last {retention.min_age_hours} hours needs them",
        )
    return size
