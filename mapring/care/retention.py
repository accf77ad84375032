"""Which directories of a run directory go: a pure function of what stands there, what is in use, settings and now."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mapring.care.standing import Folder, Generation, Training
from mapring.settings.retention import Retention

_ONE = {
    "shards": "shards",
    "models": "model",
    "backends": "backend",
    "banks": "bank",
    "rankers": "ranker",
    "ranked": "ranking",
    "recommendations": "recommendations",
    "pairs": "pairs",
}


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Something that goes, and why: a whole directory, or where `files` are given only those (full URIs)."""

    kind: str
    directory: str
    bytes: int
    why: str
    files: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class InUse:
    """Fingerprints that must stay: `named` by the settings, and `live`, the models of rows of the scores table."""

    named: frozenset[str]
    live: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        """Both."""
        return self.named | self.live


def choose(
    found: Sequence[Generation],
    trained: Sequence[Training],
    scratch: Iterable[Folder],
    in_use: InUse,
    retention: Retention,
    now: datetime.datetime,
) -> list[Removal]:
    """What goes, in an order in which nothing stays that was made from what is gone: backends, models, then shards."""
    oldest = now - datetime.timedelta(hours=retention.min_age_hours)
    kept = _kept(found, in_use, retention, oldest)
    removals = [
        *(_whole(one, retention) for one in found if one.is_published and not one.is_damaged and one.name not in kept),
        *(_attempt(one) for one in found if not one.is_published and _is_dead_attempt(one, in_use, oldest)),
        *(removal for one in found if one.name in kept for removal in _dead_files(one, oldest)),
        *_of_trainings(trained, in_use, retention, oldest),
        *(
            Removal(kind="scratch", directory=one.directory, bytes=one.bytes, why="scratch that a kill left")
            for one in scratch
            if one.changed < oldest
        ),
    ]
    order = ("ranked", "recommendations", "backends", "rankers", "banks", "models", "shards", "pairs")
    return sorted(removals, key=lambda one: (order.index(one.kind) if one.kind in order else -1, one.directory))


def _kept(
    found: Sequence[Generation], in_use: InUse, retention: Retention, oldest: datetime.datetime
) -> frozenset[str]:
    """Fingerprints of published generations that stay, with all that they were made from."""
    published = [one for one in found if one.is_published]
    refers: dict[str, set[str]] = {}
    for one in published:
        refers.setdefault(one.name, set()).update(one.refers)
    waiting = {one.name for one in published if one.name in in_use.all or _is_young(one.changed, oldest)}
    waiting |= {one.name for one in published if one.is_damaged}  # of which it is not known what it is
    waiting |= {one.name for one in published if one.kind == "backends" and one.refers & in_use.all}
    for kind in _ONE:
        newest = sorted((one for one in published if one.kind == kind), key=lambda one: (one.created, one.name))
        count = getattr(retention, kind)
        waiting |= {one.name for one in newest[max(0, len(newest) - count) :]}
    kept: set[str] = set()
    while waiting:
        name = waiting.pop()
        kept.add(name)
        waiting |= refers.get(name, set()) - kept
    return frozenset(kept)


def _is_young(changed: datetime.datetime | None, oldest: datetime.datetime) -> bool:
    return changed is not None and changed >= oldest


def _whole(one: Generation, retention: Retention) -> Removal:
    count = getattr(retention, one.kind)
    why = f"older than the newest {count} {one.kind}, and nothing that stays was made from it"
    return Removal(kind=one.kind, directory=one.directory, bytes=one.bytes, why=why)


def _is_dead_attempt(one: Generation, in_use: InUse, oldest: datetime.datetime) -> bool:
    return one.name not in in_use.named and not _is_young(one.changed, oldest)


def _attempt(one: Generation) -> Removal:
    why = "what a killed removal left" if one.is_half_removed else "an attempt that was not published"
    return Removal(kind=one.kind, directory=one.directory, bytes=one.bytes, why=why)


def _dead_files(one: Generation, oldest: datetime.datetime) -> list[Removal]:
    dead = [file for file in one.dead if file.modified < oldest]
    if not dead:
        return []
    return [
        Removal(
            kind=one.kind,
            directory=one.directory,
            bytes=sum(file.bytes for file in dead),
            why=f"{len(dead):,} files of earlier attempts that its manifest does not name",
            files=tuple(file.uri for file in dead),
        )
    ]


def _of_trainings(
    trained: Sequence[Training], in_use: InUse, retention: Retention, oldest: datetime.datetime
) -> Iterable[Removal]:
    ages = sorted((one.changed, one.name) for one in trained if one.changed is not None)
    newest = {name for _, name in ages[max(0, len(ages) - retention.trainings) :]}
    for one in trained:
        if one.name in in_use.named or one.name in newest or _is_young(one.changed, oldest):
            yield from (
                Removal(
                    kind="training",
                    directory=step.directory,
                    bytes=step.bytes,
                    why="a checkpoint that is not whole",
                )
                for step in one.unfinished
                if step.changed < oldest
            )
        else:
            why = f"older than the newest {retention.trainings} training directories"
            yield Removal(kind="trainings", directory=one.directory, bytes=one.bytes, why=why)
