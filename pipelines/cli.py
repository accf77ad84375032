"""The command line: `mapring COMMAND ...`; each command has a module of its own."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Optional

import typer

from mapring import storage
from mapring.errors import MapringError, in_one_line
from mapring.full_disk import is_full

app = typer.Typer(
    help="Text corpus to scored table: Spark preprocessing, ring-allreduce training, Spark scoring.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

scores_app = typer.Typer(help="The scores table through time.", no_args_is_help=True)
app.add_typer(scores_app, name="scores")

Config = Annotated[str, typer.Argument(metavar="CONFIG", help="The pipeline's YAML.")]
Overrides = Annotated[
    Optional[list[str]],  # noqa: UP045  typer reads the annotation at run time
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings that replace those of the YAML."),
]


@app.command()
def init(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Your texts: csv, tsv, jsonl, txt or parquet.")],
    text: Annotated[Optional[str], typer.Option(metavar="COLUMN", help="Column of the texts.")] = None,  # noqa: UP045
    label: Annotated[Optional[str], typer.Option(metavar="COLUMN", help="Column of what is learned.")] = None,  # noqa: UP045
    second_text: Annotated[Optional[str], typer.Option(metavar="COLUMN", help="Column of a second text.")] = None,  # noqa: UP045
    id: Annotated[Optional[str], typer.Option(metavar="COLUMN", help="Column of your own ids.")] = None,  # noqa: UP045
    time: Annotated[Optional[str], typer.Option(metavar="COLUMN", help="Column of times.")] = None,  # noqa: UP045
    task: Annotated[Optional[str], typer.Option(help="What to learn, such as classify or regression.")] = None,  # noqa: UP045
    format: Annotated[Optional[str], typer.Option(help="How FILE is written, if its name does not say.")] = None,  # noqa: UP045
    out: Annotated[Optional[str], typer.Option(help="The config to write; FILE's name and .yaml if not given.")] = None,  # noqa: UP045
) -> None:
    """Look at a file and write a config that fits it, for `mapring run`."""
    from pipelines.init import asked_for, init

    named = {"text": text, "label": label, "id": id, "time": time, "second_text": second_text, "out": out}
    init(file, asked_for(task=task, format=format, **named))


@app.command()
def run(config: Config, overrides: Overrides = None) -> None:
    """Run all stages, each only if its output is not yet there; write the report and print the results."""
    from pipelines.run import run

    run(config, overrides or [])


@app.command()
def pairs(config: Config, overrides: Overrides = None) -> None:
    """Turn what users did into pairs of texts, of user and item, from which a model of texts learns."""
    _run_stage("pairs", config, overrides)


@app.command()
def recommend(config: Config, overrides: Overrides = None) -> None:
    """Learn from what users did and what items say which items each user will like; publish the ranker and lists."""
    _run_stage("recommend", config, overrides)


@app.command()
def preprocess(config: Config, overrides: Overrides = None) -> None:
    """Turn raw text into published shards."""
    _run_stage("preprocess", config, overrides)


@app.command()
def train(config: Config, overrides: Overrides = None) -> None:
    """Train on the published shards with a ring of ranks, and publish the model."""
    _run_stage("train", config, overrides)


@app.command()
def tune(config: Config, overrides: Overrides = None) -> None:
    """Search for better settings of the training, over many trainings; write the best as a config."""
    from pipelines.tune import tune

    tune(config, overrides or [])


@app.command()
def ranker(config: Config, overrides: Overrides = None) -> None:
    """Learn to combine what the published model says of texts with given numbers; publish the ranker."""
    _run_stage("ranker", config, overrides)


@app.command()
def score(
    config: Config,
    overrides: Overrides = None,
    since: Annotated[str, typer.Option(help="Only inputs modified at or after this moment (score.since).")] = "",
    until: Annotated[str, typer.Option(help="Only inputs modified before this moment (score.until).")] = "",
    model: Annotated[str, typer.Option(help="Fingerprint of another model to score with (score.model).")] = "",
    rescore: Annotated[bool, typer.Option("--rescore", help="Also what the table has (score.rescore).")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be scored.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="In micro-batches, each with its own commit.")] = False,
) -> None:
    """Score what the scores table does not hold yet, with the published model."""
    named = {"since": since, "until": until, "model": model, "rescore": "true" if rescore else ""}
    words = [*(overrides or []), *(f"score.{key}={json.dumps(value)}" for key, value in named.items() if value)]
    if not dry_run:
        _run_stage("score_stream" if stream else "score", config, words)
        return
    from mapring.plan import make_plan
    from pipelines.dry_run import print_work

    print_work(make_plan(config, words))


@app.command()
def rank(config: Config, overrides: Overrides = None) -> None:
    """Publish the first rows of the scores table, of all or of each group, sorted and without duplicates."""
    _run_stage("rank", config, overrides)


@app.command()
def schedule(
    config: Config,
    overrides: Overrides = None,
    once: Annotated[bool, typer.Option("--once", help="Run what is due, and end: for crontab.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell the next ten times.")] = False,
) -> None:
    """Score, or run all stages, whenever the pipeline's cron says so; catch up on missed times."""
    from pipelines.schedule import schedule

    schedule(config, overrides or [], once=once, dry_run=dry_run)


@app.command()
def watch(config: Config, overrides: Overrides = None) -> None:
    """Tell what of the scored rows has drifted from what the model was published with."""
    from mapring.plan import make_plan
    from pipelines.watch import watch

    watch(make_plan(config, overrides or []))


@app.command()
def alerts(
    config: Config,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be recorded.")] = False,
) -> None:
    """Look for surges and drifts in what is scored; record each once, and tell those who are to be told."""
    from pipelines.alerts import alerts

    alerts(config, overrides or [], dry_run=dry_run)


@scores_app.command("history")
def scores_history(config: Config) -> None:
    """List the versions of the scores table."""
    from pipelines.scores import print_history

    print_history(config)


@scores_app.command("rollback")
def scores_rollback(
    config: Config, version: Annotated[int, typer.Argument(help="The version, as `mapring scores history` tells.")]
) -> None:
    """Make the scores table again what it was at a version."""
    from pipelines.scores import roll_back

    roll_back(config, version)


@scores_app.command("vacuum")
def scores_vacuum(
    config: Config,
    retention_hours: Annotated[int, typer.Option(min=0, help="Versions younger than this can still be read.")] = 168,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
) -> None:
    """Remove files that no kept version of the scores table needs, such as those of killed runs."""
    from pipelines.scores import vacuum

    vacuum(config, retention_hours, dry_run=dry_run)


@app.command()
def verify(
    target: Annotated[str, typer.Argument(help="A pipeline's YAML, a run directory, or one published directory.")],
) -> None:
    """Recheck every checksum, count and link of what was published."""
    from pipelines.verify import verify_target

    verify_target(target)


@app.command()
def vacuum(
    config: Config,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
) -> None:
    """Remove what of the run directory is no longer needed, by age and count (retention), and what killed runs left."""
    from pipelines.vacuum import vacuum

    vacuum(config, overrides or [], dry_run=dry_run)


@app.command()
def forget(
    config: Config,
    ids: Annotated[list[str], typer.Argument(metavar="DOC_ID...", help="A doc_id each, or your own id (source_id).")],
    purge: Annotated[bool, typer.Option("--purge", help="Also retire published shards that hold them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    replaced: Annotated[
        Optional[list[str]],  # noqa: UP045  typer reads the annotation at run time
        typer.Option("--set", metavar="KEY=VALUE", help="A setting that replaces that of the YAML."),
    ] = None,
) -> None:
    """Take documents out of scores and future shards, and tell which shards and models hold them."""
    from pipelines.forget import forget

    code = forget(config, ids, replaced or [], purge=purge, dry_run=dry_run)
    if code:
        raise typer.Exit(code)


@app.command()
def migrate(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A pipeline's YAML, or a run directory.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
) -> None:
    """Bring a run directory of an earlier version to what this one reads; tell what cannot be, and why."""
    from pipelines.migrate import migrate

    migrate(target, dry_run=dry_run)


@app.command()
def status(config: Config, overrides: Overrides = None) -> None:
    """Tell what of a pipeline is published, what is under way, and what is missing."""
    from pipelines.status import print_status

    print_status(config, overrides or [])


@app.command()
def explain(
    config: Config,
    doc_id: Annotated[str, typer.Argument(metavar="DOC_ID", help="A doc_id, or your own id (source_id).")],
    overrides: Overrides = None,
) -> None:
    """Tell what happened to one document: where it is, or what dropped it, with numbers, twin and text."""
    from pipelines.explain import explain

    code = explain(config, doc_id, overrides or [])
    if code:
        raise typer.Exit(code)


@app.command()
def replay(
    config: Config,
    overrides: Overrides = None,
    shards: Annotated[str, typer.Option(help="Published shards to replay, instead of those of CONFIG.")] = "",
) -> None:
    """Tell how many documents survive other filter thresholds, from stored measures, without reading text."""
    from pipelines.replay import print_replay

    print_replay(config, overrides or [], shards)


@app.command()
def report(config: Config, overrides: Overrides = None) -> None:
    """Write report.html from what is published."""
    from mapring.plan import make_plan
    from mapring.progress import say
    from pipelines.report import write_report

    plan = make_plan(config, overrides or [])
    write_report(plan)
    say("report", f"wrote {plan.run.report}")


@app.command()
def doctor(
    config: Annotated[Optional[str], typer.Argument(metavar="[CONFIG]", help="Also check this pipeline.")] = None,  # noqa: UP045
    overrides: Overrides = None,
) -> None:
    """Check the machine: Python, Java, compiler, Horovod's controllers, memory, cores, versions."""
    from pipelines.doctor import examine

    examine(config, overrides or [])


def _run_stage(stage: str, config: str, overrides: list[str] | None) -> None:
    from mapring.plan import make_plan
    from pipelines.launch import run_stage

    run_stage(stage, make_plan(config, overrides or []))


def main() -> None:
    """Entry point: errors for users are one line on stderr, and the exit code is theirs."""
    try:
        app()
    except MapringError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        if not is_full(error):
            raise
        sys.stderr.write(f"error: {error.filename or 'a file'}: its disk is full ({error.strerror}); make room there\n")
        sys.exit(MapringError.exit_code)
    except Exception as error:
        if not storage.is_of_store(error):
            raise
        sys.stderr.write(
            f"error: a store does not answer, or refuses ({type(error).__name__}: {in_one_line(error)}); check "
            "addresses, network and credentials\n"
        )
        sys.exit(MapringError.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("error: stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
