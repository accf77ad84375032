"""Memory of the driver's JVM: what the corpus needs, and never what the machine or Python workers need."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapring import machine
from mapring.driver_memory import assumed_text_bytes, fit_driver_memory, fitted_driver_memory, jvm_size
from mapring.lineage import SourceFile
from mapring.plan import make_plan
from mapring.settings import Input
from tests.tiny import write_world

MIB, GIB = 1 << 20, 1 << 30
TEXT, LIMIT, CORES = st.integers(0, 1 << 50), st.integers(GIB, 1 << 42), st.none() | st.integers(1, 256)
WORKER = st.integers(GIB, 4 * GIB)


@given(TEXT, LIMIT, CORES, WORKER)
def test_it_is_within_bounds(text: int, limit: int, cores: int | None, worker: int) -> None:
    found = fit_driver_memory(text, limit=limit, cores=cores, worker=worker)
    assert 512 * MIB <= found <= min(30 * GIB, limit // 2)
    assert found % (256 * MIB) == 0
    if cores is None:
        assert found <= 2 * GIB
    elif found > max(512 * MIB, limit // 4):
        assert found + cores * worker + GIB <= limit, "Python workers and the system have room beside it"


@given(TEXT, TEXT, LIMIT, LIMIT, CORES, WORKER)
def test_it_grows_with_text_and_machine(
    text: int, more: int, limit: int, larger: int, cores: int | None, worker: int
) -> None:
    (text, more), (limit, larger) = sorted((text, more)), sorted((limit, larger))
    found = fit_driver_memory(text, limit=limit, cores=cores, worker=worker)
    assert found <= fit_driver_memory(more, limit=limit, cores=cores, worker=worker)
    assert found <= fit_driver_memory(text, limit=larger, cores=cores, worker=worker)


@pytest.mark.parametrize(
    ("text", "limit", "cores", "expected"),
    [
        (0, 24, 2, "2048m"),  # a small corpus
        (int(1.2e9), 24, 2, "4352m"),  # the text is cached
        (10**12, 24, 2, "12288m"),  # a terabyte: half of the machine
        (10**12, 256, 16, "30720m"),
        (0, 4, 2, "1024m"),  # a small machine
        (10**12, 24, None, "2048m"),  # the text is with executors
    ],
)
def test_machines_of_the_usual_sizes(text: int, limit: int, cores: int | None, expected: str) -> None:
    assert jvm_size(fit_driver_memory(text, limit=limit * GIB, cores=cores, worker=3 * GIB // 2)) == expected


def test_compressed_files_are_taken_for_a_few_times_their_size() -> None:
    inputs = [
        Input(name="a", path="a", format="jsonl"),
        Input(name="p", path="p", format="parquet"),
        Input(name="w", path="w", format="warc"),
    ]

    def assumed(source: str, name: str) -> int:
        return assumed_text_bytes(inputs, [SourceFile(source, name, name, 100, "")])

    assert [assumed("a", f"x.jsonl{end}") for end in ("", ".gz", ".bz2", ".zst")] == [100, 400, 500, 400]
    assert assumed("p", "x.parquet") == 300
    assert assumed("w", "x.warc.gz") == assumed("w", "x.warc") == 100


def test_scoring_leaves_more_room_for_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, _ = write_world(tmp_path)
    settings = make_plan(config).settings
    monkeypatch.setattr(machine, "memory_limit", lambda: 12 * GIB)
    big = {"preprocess": "a", "score": "unseen"}
    found = {
        stage: fitted_driver_memory(
            stage, settings, [SourceFile(name, "x.csv", "x.csv", 10 * GIB, "")], master="local[4]"
        )
        for stage, name in big.items()
    }
    assert found == {"preprocess": 5 * GIB, "score": 3 * GIB}
