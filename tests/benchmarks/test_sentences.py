"""Which arithmetic the training benchmarks ask of a processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.sentences import native_precision


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fma avx512bw avx512_vnni", "fp32"),
        ("fma avx512_bf16 amx_tile", "bf16"),
        ("asimd bf16 sve", "bf16"),
        ("", "fp32"),
    ],
)
def test_bf16_is_taken_where_the_processor_computes_it(flags: str, expected: str, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\n")
    assert native_precision(cpuinfo) == expected
    assert native_precision(tmp_path / "none") == "fp32"
