"""Where the ranking of a scores table is published: a place that its settings and the table's rows determine."""

from __future__ import annotations

import hashlib

from mapring.contract import canonical_json
from mapring.errors import SettingsError
from mapring.plan import Plan
from mapring.scores.table import ScoresTable
from mapring.settings import output_settings
from mapring.settings.rank import Rank

ALGORITHM_VERSION = 1  # raised by hand when other rows come of the same table and settings


def rank_settings(plan: Plan) -> Rank:
    """How to rank. Raises SettingsError where the pipeline ranks nothing."""
    if plan.settings.rank is None:
        raise SettingsError(f"{plan.config}: rank: is missing; add what is to be ranked, or rank={{}} for the usual")
    return plan.settings.rank


def files_digest(table: ScoresTable) -> str:
    """What tells the rows of one version of the table from those of another: its files, which their contents name."""
    return hashlib.sha256(canonical_json([file.path for file in table.files])).hexdigest()


def ranked_directory(plan: Plan, table: ScoresTable) -> str:
    """Where the ranking of this version of the table is published; a version with the same files has the same one."""
    content = {
        "algorithm_version": ALGORITHM_VERSION,
        "settings": output_settings(rank_settings(plan)),
        "files": files_digest(table),
    }
    return plan.run.ranked(hashlib.sha256(canonical_json(content)).hexdigest()[:16])
