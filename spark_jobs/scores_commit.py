"""One transaction on the Delta table: files that come in, files that go out, and what was scored.

It is the only moment at which scores become visible, and correctness comes from it alone: files of a run that died
before it are never seen, and of two runs that commit on the same version one is told that it was overtaken. The
application id is pipeline and model, the version counts its scorings.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from mapring.contract import code_version
from mapring.contract.schemas import score_schema
from mapring.errors import StageError
from mapring.plan import Plan
from mapring.scores.table import LiveFile, ScoresTable
from spark_jobs.tables import WrittenFile


class OvertakenError(StageError):
    """Another run has committed to the table since this one looked at it."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What one scoring wrote; `inputs` is how many input files it read, `unread` how many values, by column, it could
    not read and left null.
    """

    run_id: str
    inputs: int
    files: list[WrittenFile]
    seconds: float
    unread: Mapping[str, int] = field(default_factory=dict)
    forgotten: int = 0  # records that were read and left out
    backend: str | None = None  # directory of the backend that scored; None for the model in fp32

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(file.entry.rows or 0 for file in self.files)

    @property
    def scored(self) -> int:
        """Rows that have a label."""
        return self._sum("scored")

    @property
    def errors(self) -> dict[str, int]:
        """Rows without a label, by the rule that says why."""
        total: Counter[str] = Counter()
        for file in self.files:
            total.update(file.statistics["errors"])
        return dict(sorted(total.items()))

    @property
    def computed(self) -> int:
        """Texts that the model was given; equal ones that met in a file once."""
        return self._sum("computed")

    @property
    def fanned_out(self) -> int:
        """Rows that got the answer of an equal text."""
        return self._sum("fanned_out")

    @property
    def drafted(self) -> int:
        """Rows with a draft."""
        return self._sum("drafted")

    @property
    def draft_failures(self) -> int:
        """Rows whose draft could not be written."""
        return self._sum("draft_failures")

    @property
    def padding_share(self) -> float:
        """Share of what the model was given that is padding."""
        tokens, padded = self._sum("tokens"), self._sum("padded_tokens")
        return 1 - tokens / padded if padded else 0.0

    @property
    def documents_per_second(self) -> float:
        """Scored rows by the time of the scoring job, loading the model included."""
        return self.scored / self.seconds if self.seconds > 0 else 0.0

    def _sum(self, name: str) -> int:
        return sum(int(file.statistics[name]) for file in self.files)


def commit_scores(
    plan: Plan,
    table: ScoresTable | None,
    scoring: Scoring,
    *,
    carried: Sequence[WrittenFile] = (),
    removed: Sequence[LiveFile] = (),
) -> int:
    """Bring a scoring into the table; returns the table's new version.

    Args:
        plan: whose scores these are.
        table: the table that the work was found with (None: there was none).
        scoring: the files that the tasks wrote.
        carried: files of rows that stay, in place of those among `removed`.
        removed: files that go out.

    Raises:
        OvertakenError: another run committed since `table` was read; nothing of this commit is visible.
        StageError: rows would stay that have other columns.
    """
    adds = [_add_action(file) for file in (*scoring.files, *carried)]
    columns, uri = score_schema(plan.score_mode), plan.run.scores
    schema = Schema.from_arrow(columns)
    application = f"{plan.settings.name}:{plan.scoring_model}"
    metadata = _metadata(plan, scoring)
    has_other_columns = table is not None and {*table.columns} != {*columns.names}
    if table is not None and has_other_columns and len(removed) < len(table.files):
        raise StageError(
            f"{uri}: found rows with other columns than those to come, which another run has committed; nothing of "
            "this run is visible. Give the runs a run_dir each"
        )
    try:
        if table is None:
            create_table_with_add_actions(
                uri,
                schema,
                adds,
                mode="error",
                name=plan.settings.name,
                commit_properties=_properties(metadata, Transaction(application, 1)),
            )
            return 0
        delta = DeltaTable(uri, version=table.version)
        sequence = (delta.transaction_version(application) or 0) + 1
        now = int(time.time() * 1000)
        removes = [RemoveAction(file.path, True, now, file.bytes) for file in removed]
        delta.create_write_transaction(
            adds if has_other_columns else [*adds, *removes],
            "overwrite" if has_other_columns else "append",  # what is overwritten is all that was there, as it must be
            schema,
            commit_properties=_properties(metadata, Transaction(application, sequence)),
        )
    except (CommitFailedError, DeltaError) as error:
        raise OvertakenError(
            f"{uri}: another run committed to the scores table while this one scored ({error}); nothing of this run is "
            "visible. Run the command again: what is already scored is skipped"
        ) from error
    return table.version + 1


def _properties(metadata: dict[str, str], transaction: Transaction) -> CommitProperties:
    return CommitProperties(custom_metadata=metadata, max_commit_retries=0, app_transactions=[transaction])


def _add_action(file: WrittenFile) -> AddAction:
    statistics = json.dumps(file.statistics["delta"], ensure_ascii=False)
    return AddAction(file.entry.path, file.entry.bytes, {}, int(time.time() * 1000), True, statistics)


def _metadata(plan: Plan, scoring: Scoring) -> dict[str, str]:
    return {
        "mapring.pipeline": plan.settings.name,
        "mapring.model": plan.scoring_model,
        "mapring.shards": plan.shards,
        "mapring.run_id": scoring.run_id,
        "mapring.backend": "" if scoring.backend is None else scoring.backend.rsplit("/", 1)[-1],  # its fingerprint
        "mapring.decoder": plan.decoder or "",
        "mapring.decoder_directory": "" if plan.decoder is None else plan.decoder_directory,
        "mapring.code_version": code_version(),
        "mapring.docs_per_second": f"{scoring.documents_per_second:.1f}",
        "mapring.inputs": str(scoring.inputs),
        "mapring.counts": json.dumps(
            {
                "read": scoring.rows,
                "scored": scoring.scored,
                "forgotten": scoring.forgotten,
                "errors": scoring.errors,
                "computed": scoring.computed,
                "fanned_out": scoring.fanned_out,
                **({"drafted": scoring.drafted, "draft_failures": scoring.draft_failures} if plan.decoder else {}),
                "unread": {name: count for name, count in scoring.unread.items() if count},
            },
            sort_keys=True,
        ),
    }
