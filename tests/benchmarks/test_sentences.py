"""Which arithmetic the training benchmarks ask of a processor."""

from __future__ import annotations

import pytest

from benchmarks import sentences


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (["x86_64", "avx512f", "avx512_vnni"], "fp32"),
        (["x86_64", "avx512_bf16"], "bf16"),
        (["x86_64", "amx_bf16"], "bf16"),
        (["aarch64", "bf16"], "bf16"),
        (["aarch64"], "fp32"),
    ],
)
def test_bf16_is_taken_where_the_processor_computes_it(
    features: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentences, "cpu_features", lambda: features)
    assert sentences.native_precision() == expected
