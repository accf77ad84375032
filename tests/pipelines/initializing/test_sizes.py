"""Sizes fit the corpus and the machine, and whatever they are the config is a valid one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.initializing.sizes import Machine, fit_length, fit_sizes, percentile

LENGTHS = st.lists(st.integers(2, 600), min_size=1, max_size=200)
MACHINES = st.builds(
    Machine, st.integers(1, 128), st.integers(1 << 30, 1 << 40), st.sampled_from(["horovodrun", "mpirun", None])
)


@given(LENGTHS)
def test_max_length_holds_nearly_all_texts_or_is_the_most(lengths: list[int]) -> None:
    found = fit_length(lengths)
    assert found % 8 == 0 and 16 <= found <= 256
    assert found == 256 or sum(length <= found for length in lengths) >= 0.99 * len(lengths) - 1e-9
    assert found == 16 or found - 8 < percentile(lengths, 0.99)


@given(
    lengths=LENGTHS,
    rows=st.integers(1, 10**7),
    classes=st.integers(0, 500),
    family=st.sampled_from(["pretrained", "lstm", "transformer"]),
    machine=MACHINES,
    has_pairs_in_lanes=st.booleans(),
)
def test_sizes_are_within_what_the_settings_allow(
    lengths: list[int], rows: int, classes: int, family: str, machine: Machine, has_pairs_in_lanes: bool
) -> None:
    found = fit_sizes(
        lengths,
        rows=rows,
        scored_rows=rows,
        classes=classes,
        family=family,  # type: ignore[arg-type]
        machine=machine,
        has_pairs_in_lanes=has_pairs_in_lanes,
    )
    assert found.global_batch % found.lanes == 0
    assert not has_pairs_in_lanes or found.global_batch >= 2 * found.lanes
    assert 1 <= found.ranks <= min(found.lanes, machine.cores)
    assert machine.launcher is not None or found.ranks == 1
    assert found.epochs >= 1 and found.validation + found.test < 0.5
    assert found.epochs == 1 or found.train_seconds <= 300


def sizes_of(rows: int, classes: int = 3) -> int:
    machine = Machine(2, 16 << 30, "horovodrun")
    found = fit_sizes([25] * 10, rows=rows, scored_rows=0, classes=classes, family="pretrained", machine=machine)
    return found.epochs


def test_small_corpora_and_many_classes_get_more_epochs() -> None:
    assert sizes_of(300) == 5 and sizes_of(18_000) <= 2 and 2 <= sizes_of(4000) <= 4
    assert sizes_of(4000, classes=50) > sizes_of(4000)
