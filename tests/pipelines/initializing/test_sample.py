"""Samples are whole lines of the file, from its beginning, middle and end, plain and compressed."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mapring.errors import SettingsError
from pipelines.initializing import sample
from pipelines.initializing.sample import read_parquet_sample, read_sample


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "_WHOLE_BYTES", 4000)
    monkeypatch.setattr(sample, "_PART_BYTES", 1000)
    monkeypatch.setattr(sample, "_PART_ROWS", 10)


def lines(count: int) -> list[bytes]:
    return [f"{number},{'x' * (number % 37)}".encode() for number in range(count)]


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress)])
@pytest.mark.parametrize("count", [1, 50, 400, 5000])
def test_parts_are_whole_lines_from_beginning_middle_and_end(
    tmp_path: Path, small: None, suffix: str, pack: Callable[[bytes], bytes], count: int
) -> None:
    content = b"\n".join(lines(count))
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(pack(b"\xef\xbb\xbf" + content))
    found = read_sample(path)
    numbers = [int(line.split(b",")[0]) for part in found.parts for line in part.split(b"\n") if line]
    assert numbers == sorted(set(numbers)) and numbers[0] == 0 and numbers[-1] == count - 1
    assert [line for part in found.parts for line in part.split(b"\n") if line] == [lines(count)[n] for n in numbers]
    assert found.is_whole == (len(content) + 3 <= 4000)
    if found.is_whole:
        assert len(numbers) == count
    else:
        assert any(count / 8 < number < count * 7 / 8 for number in numbers)
        assert found.total == pytest.approx(len(content), abs=4) and found.read < 4000


def test_a_line_longer_than_a_piece_is_looked_at_whole_and_no_character_is_cut(tmp_path: Path, small: None) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "{"é" * 900}"}}\n' * 20)
    found = read_sample(path)
    first, *others = found.parts
    assert first.decode().count("\n") == 1 and not others
    path.write_text("é" * 20_000)
    assert set(read_sample(path).parts[0].decode()) == {"é"}


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" * 5000)[:-20])
    with pytest.raises(SettingsError, match=r"a\.csv\.gz: cannot be read .*; repair the file"):
        read_sample(path)


def test_parquet_is_sampled_from_three_row_groups(tmp_path: Path, small: None) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": list(range(1000))}), path, row_group_size=100)
    found = read_parquet_sample(path)
    numbers = found.table["n"].to_pylist()
    assert found.rows == 1000 and not found.is_whole
    assert numbers == [*range(10), *range(500, 510), *range(900, 910)]
