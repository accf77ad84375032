"""Tables of every earlier version: each step adds what the next one has, and nothing else."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mapring.contract.schemas import CARRIED, DRAFT, RANK_SCORE, READ, score_schema
from mapring.scores.migrations import (
    NEWER,
    STEPS,
    TABLE_VERSION,
    migrated,
    mode_of,
    to_version_3,
    to_version_4,
    to_version_5,
    version_of,
    why_not,
)
from mapring.settings.combinations import FROM_A_BANK, MODES, ModeName

ANSWERS_SINCE_3 = ("top", "abstained", "explanation")
COLUMNS_SINCE_4 = tuple(field.name for field in (*CARRIED, *READ, RANK_SCORE))
COLUMNS_SINCE_5 = tuple(field.name for field in DRAFT)
KEYS_SINCE_2 = ("input_identity", "settings_fingerprint")


def older(version: int, mode: ModeName = "classify") -> pa.Schema:
    """The schema of a table as a mapring of this version wrote it."""
    without: dict[int, tuple[str, ...]] = {5: (), 4: COLUMNS_SINCE_5}
    for later, columns in ((4, COLUMNS_SINCE_4), (3, ANSWERS_SINCE_3), (2, KEYS_SINCE_2)):
        without[later - 1] = (*without[later], *columns)
    return pa.schema([field for field in score_schema(mode) if field.name not in without[version]])


@pytest.mark.parametrize("mode", MODES)
def test_the_version_of_a_table_is_told_by_its_columns(mode: ModeName) -> None:
    names = score_schema(mode).names
    assert mode_of(names) == mode and version_of(names) == TABLE_VERSION == 5 and why_not(names) is None
    assert version_of(older(4, mode).names) == (4 if mode in FROM_A_BANK else 5)
    assert version_of(older(3, mode).names) == 3
    assert version_of([*names, "what_comes_later"]) == NEWER
    assert "newer mapring (columns what_comes_later)" in (why_not([*names, "what_comes_later"]) or "")


def test_a_step_leads_to_the_next_version_and_leaves_its_input_alone() -> None:
    assert set(STEPS) == {2, 3, 4}
    two = older(2, "answer")
    assert version_of(two.names) == 2
    three = to_version_3(two)
    assert three.names == [*two.names, *ANSWERS_SINCE_3] and version_of(three.names) == 3
    four = to_version_4(three)
    assert four.names == [*three.names, *COLUMNS_SINCE_4] and version_of(four.names) == 4
    five = to_version_5(four)
    assert five.names == [*four.names, *COLUMNS_SINCE_5] and version_of(five.names) == 5
    assert two == older(2, "answer") and to_version_5(five) == five


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_all_steps_together_lead_to_what_is_written_now(version: int, mode: ModeName) -> None:
    schema = migrated(older(version, mode))
    assert sorted(schema, key=lambda field: field.name) == sorted(score_schema(mode), key=lambda field: field.name)


def test_what_cannot_be_migrated_says_why() -> None:
    assert version_of(older(1).names) == 1
    assert "do not tell which content" in (why_not(older(1).names) or "")
    for columns in (["a", "b"], ["label", "score"], [*older(3).names, "embedding"]):
        assert version_of(columns) is None and "other columns than mapring's" in (why_not(columns) or "")
