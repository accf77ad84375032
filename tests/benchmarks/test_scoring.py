"""What is made of the runs of the scoring benchmark."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks.results import write_figures
from benchmarks.scoring import page
from benchmarks.scoring.peers import agreements, figures_of
from benchmarks.scoring.sides import Measured
from benchmarks.scoring.speed import (
    Speed,
    compare_labels,
    gate_table,
    loads_per_worker,
    median_speed,
    metric_loss,
    speed_table,
    thread_table,
    times_as_fast,
)
from benchmarks.scoring.table import padding_share

MIB = 1 << 20


def runs(*rates: float) -> list[Speed]:
    return [Speed(rate, 1 + number, 100 * MIB, 500 * MIB) for number, rate in enumerate(rates)]


def answers(labels: str, probabilities: list[list[float]] | None = None) -> pa.Table:
    values = probabilities or [[0.8, 0.2]] * len(labels)
    return pa.table({"id": range(len(labels)), "label": list(labels), "probabilities": values})


def test_sides_are_compared_by_their_medians() -> None:
    assert median_speed(runs(30, 10, 20)) == Speed(20, 2, 100 * MIB, 500 * MIB)
    assert times_as_fast(runs(30, 40, 50), runs(10, 1, 1000)) == 4


def test_equal_labels_agree_whatever_their_probabilities() -> None:
    found = compare_labels(answers("aab", [[0.5, 0.5]] * 3), answers("aab"))
    assert found.agreement == 1 and not found.surely_different


def test_another_label_counts_and_is_named_unless_the_row_is_a_tie() -> None:
    theirs = answers("aaaa", [[0.8, 0.2], [0.50001, 0.49999], [0.3, 0.7], [0.6, 0.4]])
    found = compare_labels(answers("abba"), theirs)
    assert found.agreement == 0.5 and found.surely_different == [2]


def test_the_two_largest_of_several_probabilities_make_a_tie() -> None:
    theirs = answers("aa", [[0.45, 0.1, 0.45], [0.1, 0.1, 0.8]])
    assert compare_labels(answers("bb"), theirs).surely_different == [1]


def test_labels_of_other_rows_are_not_compared() -> None:
    with pytest.raises(ValueError, match="found 2 and 3 rows"):
        compare_labels(answers("aa"), answers("aaa"))


def test_what_a_metric_loses_is_counted_in_right_labels() -> None:
    truth, reference = list("abab"), list("abaa")
    assert metric_loss(truth, reference, list("abba")) == pytest.approx(0.25)
    assert metric_loss(truth, reference, truth) == pytest.approx(-0.25)


def test_a_worker_s_loads_are_the_most_of_any_run() -> None:
    assert loads_per_worker([{"1": 1, "2": 1}, {"3": 1, "4": 2}], workers=2) == 2
    with pytest.raises(ValueError, match="found 3 workers"):
        loads_per_worker([{"1": 1, "2": 1, "3": 1}], workers=2)


def test_the_table_of_sides_tells_each_beside_the_reference() -> None:
    table = speed_table({"fast": runs(90, 100, 110), "slow": runs(50, 50, 50)}, {"fast": "F", "slow": "S"}, "slow")
    assert table.splitlines()[2:] == [
        "| F | 100 | 2.00 | 2.0 s | 100 MiB | 500 MiB |",
        "| S | 50 | 1.00 | 2.0 s | 100 MiB | 500 MiB |",
    ]


def test_the_table_of_threads_counts_the_memory_of_all_workers() -> None:
    table = thread_table({(1, 2): runs(80, 80, 80), (2, 1): runs(100, 100, 100)})
    assert table.splitlines()[2:] == ["| 2 | 1 | 100 | 200 MiB |", "| 1 | 2 | 80 | 100 MiB |"]


def test_the_padding_is_what_the_stage_says() -> None:
    log = "[mapring score] committed 5 rows as version 0 in 3s: 5 scored at 2 docs/s with 3.4% padding, 0 with an error"
    assert padding_share(log) == pytest.approx(0.034)
    with pytest.raises(ValueError, match="tells no padding"):
        padding_share("[mapring score] skipped: scores are already in the table")


def measured(**changed: pa.Table) -> Measured:
    """Two rows by every side, of which ours answers one more."""
    sides = {"mapring": 200, "gated995": 500, "gated98": 800, "batch_udf": 100, "raw": 250, "ray": 80}
    own = ("mapring", "gated995", "gated98")
    found = {side: [{"loads": {"1": 1, "2": 1}}] * 3 for side in own}
    usual = {**dict.fromkeys(own, answers("aba")), **dict.fromkeys(("batch_udf", "ray"), answers("ab"))}
    return Measured({side: runs(*[float(rate)] * 3) for side, rate in sides.items()}, found, {**usual, **changed})


def test_figures_are_speeds_beside_the_peers_and_the_labels_lost() -> None:
    values = {figure.name: figure.value for figure in figures_of(measured(gated98=answers("aaa")), list("abb"))}
    assert values == {
        "fp32_vs_predict_batch_udf": 2,
        "gated995_vs_predict_batch_udf": 5,
        "gated98_vs_predict_batch_udf": 8,
        "gated98_metric_loss": pytest.approx(1 / 3),
        "spark_vs_raw_backend": 0.8,
        "vs_ray_data": 2.5,
        "model_loads_per_worker": 1,
    }


def test_gated_sides_may_differ_and_those_in_fp32_must_not() -> None:
    assert agreements(measured(gated98=answers("aaa"))) == {
        "mapring": 1,
        "ray": 1,
        "gated995": 1,
        "gated98": pytest.approx(2 / 3),
    }
    with pytest.raises(ValueError, match="ray and batch_udf give other labels to 1 rows"):
        agreements(measured(ray=answers("bb")))


def test_the_table_of_gates_names_what_was_chosen() -> None:
    table = gate_table({"gated98": "onnx-int8"}, {"gated98": 0.9871, "ray": 1.0}, {"gated98": "G"})
    assert table.splitlines()[2:] == ["| G | `onnx-int8` | 98.71% |"]


def test_the_page_takes_the_tables_of_a_measurement_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "scoring.md"
    copy.write_text(page._PAGE.read_text())
    sides = {side: [speed._asdict() for speed in runs(10, 20, 30)] for side in ("mapring", "one_task", "batch_udf")}
    told = {"rows": 4096, "machine": "M", "date": "2026-01-01", "speeds": sides}
    gates = dict.fromkeys(page.GATES, "onnx-int8")
    values = {**told, "backends": gates, "agreement": dict.fromkeys(gates, 0.99)}
    monkeypatch.setattr(page, "noted", {"peers": values}.get)
    monkeypatch.setattr(page, "_PAGE", copy)
    monkeypatch.setattr(page, "_RESULTS", write_figures("scoring", figures_of(measured(), list("aba")), tmp_path))
    before = copy.read_text().split("<!-- ")[0]
    page.main()
    once = copy.read_text()
    page.main()
    assert copy.read_text() == once and once.startswith(before)
    for line in ("4,096 texts; M; 2026-01-01.", "| 1 | 2 | 20 | 100 MiB |", "| `vs_ray_data` | 2.5 | ≥ 1.2 |"):
        assert line in once
    assert once.count("99.00%") == len(gates)
