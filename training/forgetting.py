"""How good a model is on the shards of an earlier corpus, before and after it was trained on another one.

Figures before the first step stand in the cursor, which every checkpoint holds: a training that was killed has them
where it goes on, and one that was killed before its first checkpoint measures them again, to the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from training.older_shards import OlderShards
from training.ring import Ring
from training.tasks import Task


def figures_on(older: OlderShards, task: Task, model: nn.Module, ring: Ring) -> dict[str, float]:
    """All fractions and means of a model on the older shards, such as accuracy and loss, bit for bit the same on any
    number of ranks; and `rows`, how many counted.
    """
    found = task.evaluate(model, ring, older.directory, older.split, 1.0)
    figures = {name: value for name, value in found.items() if isinstance(value, float) and name != "temperature"}
    return {"rows": found["rows"], **figures}


def forgetting(older: OlderShards, before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Any]:
    """What `evaluation.json` says of it: `before`, `after`, and `change`, the latter less the former.

    A figure that is infinite or undefined at one of both times, as a perplexity may be, has no change.
    """
    names = [name for name in after if name in before and name != "rows"]
    return {
        "shards": older.manifest.fingerprint,
        "split": older.split,
        "rows": after["rows"],
        "before": {name: value for name, value in before.items() if name != "rows"},
        "after": {name: value for name, value in after.items() if name != "rows"},
        "change": {name: after[name] - before[name] for name in names},
    }


def told(found: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The part of the closing line: figures by their names for people, before and after."""
    before, after = found["before"], found["after"]
    parts = [f"{names[key]} {before[key]:.3f} -> {after[key]:.3f}" for key in names if key in found["change"]]
    return f"; {', '.join(parts)} on {found['rows']:,} {found['split']} rows of the older shards" if parts else ""
