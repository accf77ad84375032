"""The command line: `mapring COMMAND ...`; each command has a module of its own."""

from __future__ import annotations

import sys
from typing import Annotated, Optional

import typer

from mapring.errors import MapringError
from mapring.full_disk import is_full

app = typer.Typer(
    help="Text corpus to scored table: Spark preprocessing, ring-allreduce training, Spark scoring.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Config = Annotated[str, typer.Argument(metavar="CONFIG", help="The pipeline's YAML.")]
Overrides = Annotated[
    Optional[list[str]],  # noqa: UP045  typer reads the annotation at run time
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings that replace those of the YAML."),
]


@app.command()
def run(config: Config, overrides: Overrides = None) -> None:
    """Run all stages, each only if its output is not yet there; write the report and print the results."""
    from pipelines.run import run

    run(config, overrides or [])


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
def score(config: Config, overrides: Overrides = None) -> None:
    """Score new text with the published model, into the scores table."""
    _run_stage("score", config, overrides)


@app.command()
def verify(
    target: Annotated[str, typer.Argument(help="A pipeline's YAML, a run directory, or one published directory.")],
) -> None:
    """Recheck every checksum, count and link of what was published."""
    from pipelines.verify import verify_target

    verify_target(target)


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
    except KeyboardInterrupt:
        sys.stderr.write("error: stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
