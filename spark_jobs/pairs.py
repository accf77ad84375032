"""Interactions to pairs of texts, for a model: `spark-submit spark_jobs/pairs.py --config C [KEY=VALUE ...]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

import pyarrow as pa
from pyspark.sql import functions as F

from mapring import contract
from mapring.contract import Manifest, is_published
from mapring.contract.schemas import PAIR
from mapring.errors import InputError
from mapring.plan import Plan
from mapring.progress import say
from mapring.settings.base import output_settings
from spark_jobs.arguments import leave, run_main
from spark_jobs.fitting import start_fitted_session
from spark_jobs.recommending.catalogue import item_text
from spark_jobs.recommending.pairs import PairScene, over_users
from spark_jobs.recommending.reading import Read, read_all
from spark_jobs.recommending.timeline import moments
from spark_jobs.session import watch
from spark_jobs.tables import Built, WrittenFile, spread_to_files, write_files
from spark_jobs.unchanged import check_unchanged

STAGE = "pairs"
_ROWS_PER_FILE = 65_536
_ROWS_PER_ROW_GROUP = 4096


def pairs(plan: Plan) -> None:
    """Publish the pairs of the earliest interactions, unless they are there.

    Raises:
        SettingsError: the pipeline recommends nothing.
        InputError: interactions or items that no pair can be made of.
    """
    settings = plan.recommending
    if is_published(plan.pairs_directory):
        say(STAGE, f"skipped: pairs {plan.pairs} are already published")
        return
    sources = (*plan.interaction_sources, *plan.item_sources)
    inputs = (settings.interactions.as_input, settings.items.as_input)
    spark = start_fitted_session(STAGE, plan.settings, inputs, sources)
    read = read_all(spark, plan, settings, STAGE)
    shares = (settings.model_share, 1 - settings.model_share - settings.test_share)
    scene = PairScene(
        events=read.events,
        users=read.users,
        items=read.items,
        texts=[item_text(text, tags) for text, tags in zip(read.texts, read.tags, strict=True)],
        until=moments(read.events, shares)[0],
        per_user=settings.pairs_per_user,
        negatives=settings.pair_negatives,
        seed=plan.settings.seed,
    )
    from pyspark.sql.pandas.types import from_arrow_schema

    context = spark.sparkContext
    counted, sent = context.accumulator(0), context.broadcast(scene)
    count = len(read.users)
    run = partial(over_users, scene=lambda: sent.value, on_rows=counted.add)
    slices = max(1, min(count, 4 * context.defaultParallelism))
    made = spark.range(0, count, 1, slices).mapInArrow(run, from_arrow_schema(PAIR))
    most = count * settings.pairs_per_user * (1 + settings.pair_negatives)
    files = -(-most // _ROWS_PER_FILE)  # of what there can be at most, so that it does not hang on a count
    placed = spread_to_files(made, F.pmod(F.xxhash64("user"), F.lit(files)), files, "user", "time", "item")
    with watch(spark, STAGE, "pairs", counted):
        written = write_files(
            placed,
            _built,
            name="pairs-{:05d}".format,
            directory=plan.pairs_directory,
            folder="data",
            rows_per_row_group=_ROWS_PER_ROW_GROUP,
        )
    total = sum(file.entry.rows or 0 for file in written)
    if not total:
        raise InputError(
            f"{plan.config}: recommend: found no user with two likes at different moments in the first "
            f"{settings.model_share:.0%} of the interactions; raise recommend.model_share, or add interactions"
        )
    check_unchanged(sources)
    contract.publish(plan.pairs_directory, _manifest(plan, read, written, total, scene.until))
    say(STAGE, f"published pairs {plan.pairs}: {total:,} of {count:,} users")


def _built(table: pa.Table) -> Built:
    return Built(table.cast(PAIR), {})


def _manifest(plan: Plan, read: Read, files: Sequence[WrittenFile], total: int, until: float) -> Manifest:
    return Manifest(
        kind="pairs",
        fingerprint=str(plan.pairs),
        created=contract.utc_now(),
        code_version=contract.code_version(),
        settings=output_settings(plan.recommending),
        inputs=tuple(file.to_json() for file in (*plan.interaction_sources, *plan.item_sources)),
        files=tuple(file.entry for file in files),
        details={
            "columns": PAIR.names,
            "until": until,  # all interactions behind them are earlier, in seconds since 1970
            "counts": {"pairs": total, "interactions": len(read.events.time), "left_out": read.left_out},
        },
    )


if __name__ == "__main__":
    leave(run_main(pairs, sys.argv[1:]))
