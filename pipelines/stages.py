"""The command line of each stage: exactly what a user types on a cluster."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mapring.contract import is_published
from mapring.driver_memory import DRIVER_MEMORY, fitted_driver_memory, jvm_size
from mapring.machine import LOCAL_MASTER
from mapring.plan import Plan
from mapring.scores.ranked import ranked_directory
from mapring.scores.table import is_sealed, read_table
from mapring.scores.work import find_work, tell_work
from mapring.settings.recommend import PAIRS
from mapring.settings.ring import Ring
from mapring.settings.schema import Settings
from mapring.settings.spark import Spark
from pipelines.archive import package_directory

STAGES = ("pairs", "preprocess", "train", "recommend", "ranker", "score", "rank")
OF_SCORING = ("score", "rank")  # what new texts need
SPARK_PYTHON = Path(__file__).with_name("spark_python.sh")
CLASS_ARCHIVE = Path(sys.prefix, "share", "mapring", "spark-classes.jsa")  # made by `class_archive.py`

JAVA_OPTIONS = "spark.driver.extraJavaOptions"
_OPTIONS = {DRIVER_MEMORY: "--driver-memory", JAVA_OPTIONS: "--driver-java-options"}  # as spark-submit has them
_SIZED_AS = {"score_stream": "score", "rank": "score"}
# The second compiler and the concurrent collector take more of two cores than they give back within minutes. Without
# that compiler code has 48 MiB, not 240: eight small preprocessings fill them, and then nearly all of it is thrown away
# and compiled again, which took as long as another preprocessing.
SHORT_LIVED_JVM = ("-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=240m", "-XX:+UseParallelGC")


@dataclass(frozen=True)
class Command:
    """A process to start: its words, what its environment has besides ours, and the signal that asks it to end."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    stop_signal: signal.Signals = signal.SIGTERM


def stages_of(settings: Settings, command: Literal["run", "score"] = "run") -> tuple[str, ...]:
    """The stages that a pipeline has, in order, of all or of those that new texts need (`schedule.command`)."""
    sections = {
        "pairs": settings.recommend if any(one.path == PAIRS for one in settings.preprocess.inputs) else None,
        "recommend": settings.recommend,
        "ranker": settings.ranker,
        "score": settings.score,
        "rank": settings.rank,
    }
    asked = STAGES if command == "run" else OF_SCORING
    return tuple(stage for stage in asked if stage not in sections or sections[stage] is not None)


def stage_command(stage: str, plan: Plan, archive: Path) -> Command:
    """The command that runs one stage of a plan; `archive` is what executors get of our code.

    `score_stream` is the streaming form of `score`; `rank` follows it where it is asked for.
    """
    arguments = ("--config", plan.config, *plan.overrides)
    if stage == "train":
        return train_command(plan.settings.ring, arguments)
    return _spark_submit(stage, plan, arguments, archive)


def _spark_submit(stage: str, plan: Plan, arguments: tuple[str, ...], archive: Path) -> Command:
    spark = plan.settings.spark
    options = [word for key, value in driver_options(stage, plan).items() for word in (_OPTIONS[key], value)]
    conf = [word for key, value in spark.conf.items() for word in ("--conf", f"{key}={value}")]
    words = (
        *(program("spark-submit"), "--master", spark.master),
        *options,
        *conf,
        *("--py-files", str(archive), str(spark_script(stage))),
        *arguments,
    )
    home = {"SPARK_HOME": str(package_directory("pyspark"))} if "SPARK_HOME" not in os.environ else {}
    return Command(words, {**_python(spark.master), **home})


def _python(master: str) -> dict[str, str]:
    """The Python of drivers and workers, for their environment; that of a cluster's workers is told them by path."""
    if LOCAL_MASTER.fullmatch(master) is None or not os.access(SPARK_PYTHON, os.X_OK):  # some unpack without modes
        return {"PYSPARK_PYTHON": sys.executable}
    spark = str(package_directory("pyspark"))
    return {"PYSPARK_PYTHON": str(SPARK_PYTHON), "MAPRING_PYTHON": sys.executable, "MAPRING_SPARK": spark}


def spark_script(stage: str) -> Path:
    """What spark-submit runs for a stage."""
    return package_directory("spark_jobs") / f"{stage}.py"


def driver_options(stage: str, plan: Plan) -> dict[str, str]:
    """What the driver's JVM is told before it starts, by Spark's names of it, besides what spark.conf says.

    Memory is as set, else fitted to this machine and the files. A driver here starts quickly, unless the settings say
    how it starts.
    """
    spark = plan.settings.spark
    options = {}
    for name in driver_option_names(spark):
        options[name] = _driver_memory(stage, plan) if name == DRIVER_MEMORY else java_options()
    return options


def driver_option_names(spark: Spark) -> tuple[str, ...]:
    """Names of the driver's options that are told beside spark.conf; they follow from the settings alone."""
    is_memory_ours = spark.driver_memory is not None or DRIVER_MEMORY not in spark.conf
    is_start_ours = spark.master.startswith("local") and JAVA_OPTIONS not in spark.conf
    return (*((DRIVER_MEMORY,) if is_memory_ours else ()), *((JAVA_OPTIONS,) if is_start_ours else ()))


def java_options() -> str:
    """What a JVM that lives for minutes starts with: the classes that it will load, where they were archived."""
    archive = [f"-XX:SharedArchiveFile={CLASS_ARCHIVE}", "-Xlog:cds=off,cds+dynamic=off"]
    return " ".join([*(archive if CLASS_ARCHIVE.exists() else ()), *SHORT_LIVED_JVM])


def _driver_memory(stage: str, plan: Plan) -> str:
    spark = plan.settings.spark
    if spark.driver_memory is not None:
        return spark.driver_memory
    behaviour = (*plan.interaction_sources, *plan.item_sources)
    sources = {
        "pairs": behaviour,
        "recommend": behaviour,
        "preprocess": plan.preprocess_sources,
        "ranker": plan.ranker_sources,
    }
    files = sources.get(stage, plan.score_sources)
    fitted = fitted_driver_memory(_SIZED_AS.get(stage, stage), plan.settings, files, master=spark.master)
    return jvm_size(fitted)


def train_command(ring: Ring, arguments: tuple[str, ...], python: Path = Path(sys.executable)) -> Command:
    """The command that trains on a ring; the launcher and the ranks are those of the environment of `python`."""
    train = (str(python), "-m", "training.train", *arguments)
    hosts = _discovered(ring) if ring.discovery_script else ("-H", ring.hosts) if ring.hosts else ()
    if ring.ranks == 1 and not hosts:
        return Command(train, {})
    if ring.launcher == "horovodrun":
        return Command((program("horovodrun", python), "--gloo", "-np", str(ring.ranks), *hosts, *train), {})
    # Without yielding, an idle rank spins on the core that the other one needs; binding would give both one core.
    options = ("--bind-to", "none", "--mca", "mpi_yield_when_idle", "1")
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} if os.geteuid() == 0 else {}
    words = (program("mpirun", python), "-np", str(ring.ranks), *options, *hosts, *train)
    # After a SIGTERM mpirun kills its ranks within half a second, too soon for a checkpoint; SIGUSR1 it passes on.
    return Command(words, as_root, signal.SIGUSR1)


def _discovered(ring: Ring) -> tuple[str, ...]:
    """Horovodrun's words for ranks that come and go with the hosts that a script names."""
    sizes = ("--min-np", str(ring.min_ranks), "--max-np", str(ring.max_ranks or ring.ranks))
    return (*sizes, "--host-discovery-script", str(ring.discovery_script))


def program(name: str, python: Path = Path(sys.executable)) -> str:
    """A launcher from the environment of an interpreter, where it is there; else from PATH."""
    beside = python.parent / name
    return str(beside) if beside.exists() else name


def published(stage: str, plan: Plan) -> str | None:
    """What of a stage's output is already there under the plan's fingerprint, in words; None when it must run."""
    if stage == "pairs":
        is_there = plan.pairs is not None and is_published(plan.pairs_directory)
        return f"pairs {plan.pairs} are already published" if is_there else None
    if stage == "recommend":
        is_there = plan.recommendations is not None and is_published(plan.recommendations_directory)
        return f"recommendations {plan.recommendations} are already published" if is_there else None
    if stage == "preprocess":
        return f"shards {plan.shards} are already published" if is_published(plan.shards_directory) else None
    if stage == "train":
        return f"model {plan.model} is already published" if is_published(plan.model_directory) else None
    if stage == "rank":
        return _published_ranking(plan)
    if stage == "ranker":
        is_there = plan.ranker is not None and is_published(plan.ranker_directory)
        return f"ranker {plan.ranker} is already published" if is_there else None
    if plan.settings.score is None:
        return None  # the stage itself says what is missing
    table, work = find_work(plan)
    is_done = table is not None and work.is_done and is_sealed(table)
    return f"the scores table is up to date: {tell_work(work)}" if is_done else None


def _published_ranking(plan: Plan) -> str | None:
    table = read_table(plan.run.scores) if plan.settings.rank is not None else None
    if table is None:  # the stage itself says what is missing
        return None
    directory = ranked_directory(plan, table)
    is_there = is_published(directory)
    return f"version {table.version} of the scores table is already ranked in {directory}" if is_there else None
