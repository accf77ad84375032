"""Drift of the scored rows against their model's reference, as a table and as a file."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from mapring import storage
from mapring.errors import SettingsError
from mapring.plan import Plan
from mapring.progress import say
from mapring.watch.drift import DriftLook, Episode, Judged, episodes
from mapring.watch.watched import Watched, look
from pipelines.tables import PlainTable

_MOST_REASONS = 12


def watch(plan: Plan) -> None:
    """Print the newest judgment of every quantity, and write `<run_dir>/watch/drift.json`.

    Raises:
        SettingsError: there is no scores table.
    """
    watched = look(plan.settings)
    if watched is None:
        raise SettingsError(
            f"{plan.config}: found no scores table at {plan.run.scores}; run `mapring score {plan.config}` first"
        )
    now = datetime.datetime.now(datetime.UTC)
    found = watched.drift(now)
    uri = storage.join(plan.run.watch, "drift.json")
    storage.replace(uri, (json.dumps(as_json(watched, found, now), indent=2) + "\n").encode())
    if found.judged:
        Console().print(as_table(found, f"{plan.run.scores}, version {watched.table.version}"))
    for line in notes(found):
        say("watch", line)
    lasting = sum(one.lasts for one in episodes(found.judged))
    say("watch", f"{lasting:,} quantities drift now; all that was found is in {uri}")


def as_table(found: DriftLook, title: str) -> PlainTable:
    """A row for the newest judgment of each quantity."""
    table = PlainTable(title)
    for heading in ("source", "quantity", "until (UTC)"):
        table.add_column(heading, overflow="fold")
    for heading in ("rows", "PSI", "JS", "KS", "q"):
        table.add_column(heading, justify="right")
    for heading in ("changed the most", "verdict"):
        table.add_column(heading, overflow="fold")
    drifting = {id(one.judged[-1]): one for one in episodes(found.judged) if one.lasts}
    for one in newest(found.judged):
        table.add_row(
            one.source,
            one.quantity,
            moment(one.window_end or one.window_start),
            f"{one.rows:,}",
            f"{one.psi:.3f}",
            f"{one.js:.3f}",
            "" if one.ks is None else f"{one.ks:.3f}",
            f"{one.q_value:.2g}",
            f"{one.bin}: {one.expected_share:.1%} to {one.share:.1%}",
            _verdict(drifting.get(id(one))),
        )
    return table


def newest(judged: Sequence[Judged]) -> list[Judged]:
    """The last judgment of each source, model and quantity, of judgments in the order of time."""
    last = {
        (one.source, one.model_fingerprint, one.quantity, one.window_end is None): one for one in judged
    }  # a later one takes the place of those before
    return [last[key] for key in sorted(last)]


def notes(found: DriftLook) -> list[str]:
    """What was not judged, and why."""
    lines = [f"{one.source}, {one.quantity}: not judged: {one.reason}" for one in found.not_judged]
    if len(lines) > _MOST_REASONS:
        lines = [*lines[:_MOST_REASONS], f"{len(lines) - _MOST_REASONS:,} more were not judged, see drift.json"]
    if found.open_rows:
        lines.append(f"{found.open_rows:,} rows are in windows that have not ended yet")
    return lines


def as_json(watched: Watched, found: DriftLook, now: datetime.datetime) -> dict[str, Any]:
    """All that was found, for programs; times are ISO 8601 in UTC."""
    content = {
        "at": now,
        "version": watched.table.version,
        "settings": watched.settings.watch.model_dump(mode="json"),
        "findings": [asdict(one) for one in found.findings(watched.settings.watch.tolerated_drift)],
        "newest": [asdict(one) for one in newest(found.judged)],
        "not_judged": [asdict(one) for one in found.not_judged],
        "open_rows": found.open_rows,
    }
    plain: dict[str, Any] = json.loads(json.dumps(content, default=lambda value: value.isoformat()))
    return plain


def moment(value: datetime.datetime) -> str:
    """A moment as people read it."""
    return value.strftime("%Y-%m-%d %H:%M")


def _verdict(episode: Episode | None) -> str:
    return "no drift" if episode is None else f"drift since {moment(episode.judged[0].window_start)}"
