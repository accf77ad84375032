"""Take documents out of a run directory: `python -m spark_jobs.forget --config C ID [...]`; no Spark.

Top to bottom: which documents are meant, the records that keep them from coming back, the rows of the scores table and
the files that hold them, then the shards and models that hold them, which `--purge` retires. Every step does nothing
where it is done already, so a killed run is finished by the same command.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence

from mapring.care.forgotten import (
    FORGOTTEN,
    ForgottenDocument,
    models_that_saw,
    read_forgotten,
    remember,
    remember_model,
    set_digest,
)
from mapring.care.removal import remove_published
from mapring.care.standing import Generation, generations
from mapring.errors import MapringError, PublishedError
from mapring.plan import Plan, make_plan
from mapring.progress import say
from spark_jobs.forgetting.documents import Documents, find_documents
from spark_jobs.forgetting.lineage import Holder, holders, rankings_with, what_models_saw
from spark_jobs.forgetting.scores import Wanted, count_rows, remove_dead_files, take_out_rows
from spark_jobs.light_main import config_parser, fail

STAGE = "forget"


def forget(plan: Plan, wanted: Sequence[str], *, purge: bool = False, dry_run: bool = False) -> None:
    """Forget the documents with these ids (`doc_id`, or your own); `purge` also retires the shards that hold them.

    Raises:
        PublishedError: no document is known by one of the ids; nothing was done.
        StageError: other runs kept committing to the scores table.
    """
    documents, unknown = find_documents(plan, wanted)
    if unknown:
        raise PublishedError(_unknown(plan, unknown))
    records = [one.to_record() for one in documents.values()]
    say(STAGE, f"{len(documents):,} documents are meant: {', '.join(sorted(documents)[:5])}{_more(len(documents) - 5)}")
    places = frozenset((one.doc_id, one.identity) for one in documents.values() if one.identity)
    rows = Wanted(places, documents.hashes)
    if dry_run:
        say(STAGE, f"would take {count_rows(plan.run.scores, rows):,} rows out of the scores table")
    else:
        _remember(plan, records)
        _from_scores(plan, rows)
    found = tuple(generations(plan.run.root))
    _from_rankings(rankings_with(found, documents), dry_run=dry_run)
    holding = holders(found, documents)
    _tell_models(plan, found, holding, documents, dry_run=dry_run)
    _shards(plan, found, holding, purge=purge, dry_run=dry_run)


def _unknown(plan: Plan, unknown: Sequence[str]) -> str:
    return (
        f"{unknown[0]}: found no document with this doc_id or source_id in the inputs of {plan.config}, in published "
        f"shards, in the scores table or among forgotten ones ({len(unknown)} such ids); nothing was done. Check the id"
    )


def _more(count: int) -> str:
    return f" and {count:,} more" if count > 0 else ""


def _remember(plan: Plan, records: Sequence[ForgottenDocument]) -> None:
    new = remember(plan.run.root, records)
    told = f"{new:,} new records" if new else "they are known as forgotten already"
    say(STAGE, f"{told}; preprocessing and scoring leave them out, and copies with the same text")


def _from_scores(plan: Plan, rows: Wanted) -> None:
    uri = plan.run.scores
    taken = take_out_rows(uri, rows, set_digest(read_forgotten(plan.run.root)))
    removed, unread = remove_dead_files(uri, rows)
    say(
        STAGE,
        f"took {taken:,} rows out of the scores table and removed {removed:,} older files that held them; versions "
        "that needed one of those can no longer be read",
    )
    if unread:
        say(
            STAGE,
            f"{len(unread):,} unfinished files of the table cannot be looked into, such as {unread[0]}; "
            "`mapring vacuum` removes them when they are old enough",
        )


def _from_rankings(directories: Sequence[str], *, dry_run: bool) -> None:
    """Retire rankings that have a row of the documents, as the table has none any more."""
    for directory in directories:
        if not dry_run:
            remove_published(directory, FORGOTTEN)
        say(STAGE, f"{'would retire' if dry_run else 'retired'} the ranking {directory}; `mapring rank` makes another")


def _tell_models(
    plan: Plan, found: Sequence[Generation], holding: Sequence[Holder], documents: Documents, *, dry_run: bool
) -> None:
    saw = what_models_saw(found, holding, documents)
    if not dry_run:
        for model, told in saw.items():
            for doc_id in documents:
                for what in told:
                    remember_model(plan.run.root, doc_id, model, what)
    for model, told in models_that_saw(plan.run.root, frozenset(documents)).items():
        saw.setdefault(model, set()).update(told)
    for model, told in sorted(saw.items()):
        say(STAGE, f"model {model} {' and '.join(sorted(told))}")
    if not saw:
        say(STAGE, "no published model has seen them")


def _shards(plan: Plan, found: Sequence[Generation], holding: Sequence[Holder], *, purge: bool, dry_run: bool) -> None:
    """Tell which shards hold the documents; retire them where asked for, and what a killed purge left."""
    hours = plan.settings.retention.min_age_hours
    oldest = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=hours)
    changed = {one.directory: one.changed for one in found}
    for holder in holding:
        moment = changed[holder.directory]
        is_under_way = not holder.is_published and moment is not None and moment >= oldest
        if is_under_way and holder.name not in _half_removed(found):
            say(STAGE, f"{holder}, an attempt that may be under way; run this again when it is done, with --purge")
        elif purge and not dry_run:
            remove_published(holder.directory, FORGOTTEN)
            say(STAGE, f"retired {holder}")
        else:
            say(STAGE, f"{holder}" + (", would be retired" if purge else "; --purge retires them"))
    for one in found if purge and not dry_run else ():
        if one.is_half_removed and one.directory not in {holder.directory for holder in holding}:
            remove_published(one.directory, FORGOTTEN)
            say(STAGE, f"removed what was left of {one.directory}")
    if any(one.is_published for one in holding):
        say(STAGE, "`mapring preprocess` makes shards without them, under another fingerprint")


def _half_removed(found: Sequence[Generation]) -> set[str]:
    return {one.name for one in found if one.kind == "shards" and one.is_half_removed}


def main(arguments: Sequence[str]) -> int:
    """Run from the command line; returns the exit code."""
    parser = config_parser(__doc__, overrides=False)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting that is replaced")
    parser.add_argument("--purge", action="store_true", help="also retire published shards that hold a document")
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be done")
    parser.add_argument("ids", nargs="+", metavar="ID", help="a doc_id, or your own id")
    options = parser.parse_args(arguments)
    try:
        forget(make_plan(options.config, options.set), options.ids, purge=options.purge, dry_run=options.dry_run)
    except MapringError as error:
        return fail(error, error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
