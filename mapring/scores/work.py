"""What a scoring has to do: inputs that are wanted, held against those that the table has. Pure, but for `find_work`.

The key of an input's rows is its content's identity, the model and the output settings. Nothing hangs on clocks: a
file that comes late, or with an old date, is new because the table does not have it.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from mapring import storage
from mapring.lineage import SourceFile
from mapring.plan import Plan
from mapring.scores.empty import empty_name, known_empty
from mapring.scores.statistics import ScoredInput
from mapring.scores.table import ScoresTable, read_table
from mapring.settings.score import Score


@dataclass(frozen=True, kw_only=True)
class Work:
    """The inputs to score, and the scorings whose rows leave the table when those come in.

    `reasons` counts the inputs to score by why: new, changed, other settings, other model, asked for. `unchanged`
    inputs stay, `outside` ones are not looked at because of since and until, `gone` ones are in the table and no
    longer there.
    """

    score: tuple[SourceFile, ...]
    leaving: frozenset[ScoredInput]
    reasons: Mapping[str, int]
    unchanged: int
    outside: int
    gone: int

    @property
    def is_done(self) -> bool:
        """Whether the table is as it is asked for."""
        return not self.score and not self.leaving


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the table should hold: inputs, the settings fingerprint of each source, the model.

    `within` tells of a file whether since and until allow it. Of `is_part` the sources are only some of the inputs, so
    none is gone for not being among them.
    """

    sources: Sequence[SourceFile]
    settings: Mapping[str, str]
    model: str
    within: Callable[[SourceFile], bool]
    rescore: bool = False
    keep_older_models: bool = False
    drop_gone: bool = False
    is_part: bool = False

    def scored(self, file: SourceFile) -> ScoredInput:
        """What the rows of an input should be made with."""
        return ScoredInput(file.source, file.relative, file.identity, self.model, self.settings[file.source])


def plan_work(wanted: Wanted, table: ScoresTable | None, empty: Collection[str] = ()) -> Work:
    """Hold what is wanted against what is there.

    Args:
        wanted: the state asked for.
        table: the state found; None where there is no table.
        empty: `empty_name` of inputs that are known to hold no record.
    """
    live = table.inputs if table is not None else {}
    score, leaving, reasons, outside = [], set(), Counter[str](), 0
    for file in wanted.sources:
        target = wanted.scored(file)
        found = live.get(target.key)
        reason = _reason(target, found, wanted, is_empty=empty_name(target) in empty)
        if reason is None:
            continue
        if not wanted.within(file):
            outside += 1
            continue
        reasons[reason] += 1
        score.append(file)
        if found is not None:
            leaving.add(found)
    keys = {(file.source, file.relative) for file in wanted.sources}
    gone = [] if wanted.is_part else [found for key, found in live.items() if key not in keys]
    if wanted.drop_gone:
        leaving |= set(gone)
    return Work(
        score=tuple(score),
        leaving=frozenset(leaving),
        reasons=dict(reasons),
        unchanged=len(wanted.sources) - len(score) - outside,
        outside=outside,
        gone=len(gone),
    )


def _reason(target: ScoredInput, found: ScoredInput | None, wanted: Wanted, *, is_empty: bool) -> str | None:
    if found is None:
        return None if is_empty else "new"
    if found.identity != target.identity:
        return "changed"
    if found.settings != target.settings:
        return "other settings"
    if found.model != target.model and not wanted.keep_older_models:
        return "other model"
    return "asked for" if wanted.rescore else None


def find_work(plan: Plan, *, is_look: bool = False) -> tuple[ScoresTable | None, Work]:
    """The table of a plan and what there is to do about it; for a look only, `score.rescore` asks for nothing.

    Raises:
        SettingsError: the plan scores nothing.
        StageError: the table is none of ours.
    """
    table = read_table(plan.run.scores)
    wanted = replace(wanted_of(plan), rescore=False) if is_look else wanted_of(plan)
    return table, plan_work(wanted, table, known_empty(plan.run.scores))


def wanted_of(plan: Plan) -> Wanted:
    """What a plan's settings ask the table to hold."""
    scoring = plan.scoring
    return Wanted(
        sources=plan.score_sources,
        settings=plan.score_settings,
        model=plan.scoring_model,
        within=_window(scoring),
        rescore=scoring.rescore,
        keep_older_models=scoring.new_model == "new_rows",
        drop_gone=scoring.removed_inputs == "drop",
        is_part=plan.is_part,
    )


def _window(scoring: Score) -> Callable[[SourceFile], bool]:
    """Whether a file was last modified at or after since, and before until; asks the store only where one is set."""
    since, until = scoring.since, scoring.until
    if since is None and until is None:
        return lambda _file: True

    def within(file: SourceFile) -> bool:
        modified = storage.modified(file.uri)
        return (since is None or modified >= _moment(since)) and (until is None or modified < _moment(until))

    return within


def _moment(text: str) -> datetime.datetime:
    """ISO 8601; without a zone it is UTC."""
    moment = datetime.datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)


def tell_work(work: Work) -> str:
    """One line on what there is to do."""
    parts = [f"{count:,} {reason}" for reason, count in work.reasons.items()]
    told = f"{len(work.score):,} inputs to score" + (f" ({', '.join(parts)})" if parts else "")
    told += f", {work.unchanged:,} unchanged"
    if work.outside:
        told += f", {work.outside:,} outside of score.since and score.until"
    if work.gone:
        told += f", {work.gone:,} in the table that are no longer there"
    return told
