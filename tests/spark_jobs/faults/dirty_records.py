"""Dirt inside files: every record is kept or in the ledger with its line and the reason; one run serves all cases."""

from __future__ import annotations

from typing import Any

from mapring.contract import read_manifest
from mapring.contract.verify import verify
from tests.spark_jobs.faults.ground import Ground, rows_of


def invalid_utf8(ground: Ground) -> None:
    """A line that is not UTF-8 is quarantined, its neighbours stay."""
    kept, dropped = _outcome(ground, "utf8")
    assert kept == ["after invalid bytes", "before invalid bytes"]
    assert dropped == [(2, "undecodable_bytes", "byte 0xff at position 2 is not utf-8")]


def nul_bytes(ground: Ground) -> None:
    """An escaped NUL is a control character that normalization takes out; a raw one is no JSON."""
    kept, dropped = _outcome(ground, "nul")
    assert len(kept) == 2 and not any("\0" in text for text in kept)
    [(record, rule, detail)] = dropped
    assert (record, rule) == (2, "malformed_record") and "control character" in detail


def lone_surrogates(ground: Ground) -> None:
    """Half of a pair is quarantined; a whole one is a character."""
    kept, dropped = _outcome(ground, "surrogate")
    assert kept == ["\U0001f600 a whole pair"]
    assert dropped == [(1, "undecodable_bytes", "'text' has a lone surrogate at position 1")]


def ragged_csv(ground: Ground) -> None:
    """Rows of more or fewer fields than the header are quarantined by their lines."""
    kept, dropped = _outcome(ground, "ragged")
    assert kept == ["a whole row", "another whole row"]
    assert dropped == [
        (3, "malformed_record", "found 3 fields, expected 2"),
        (4, "malformed_record", "found 1 fields, expected 2"),
    ]


def empty_file(ground: Ground) -> None:
    """A file of no bytes is an input of no records, and the manifest names it."""
    assert _outcome(ground, "empty") == ([], [])
    plan = ground.undisturbed()
    assert "empty" in {source["source"] for source in read_manifest(plan.shards_directory).inputs}


def duplicate_ids(ground: Ground) -> None:
    """Two documents of one id of the user's are two documents."""
    plan = ground.undisturbed()
    rows = rows_of(plan, "data", "ids")
    assert sorted(row["text"] for row in rows) == ["same id 0", "same id 1"]
    assert [row["source_id"] for row in rows] == ["7", "7"]
    assert len({row["doc_id"] for row in rows}) == 2


def _outcome(ground: Ground, source: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Sorted texts of an input that were kept; number, rule and detail of its records that were not."""
    plan = ground.undisturbed()
    counts = read_manifest(plan.shards_directory).details["counts"]
    assert counts["read"] == counts["kept"] + sum(counts["dropped"].values())
    assert verify(plan.shards_directory) == []
    kept = sorted(row["text"] for row in rows_of(plan, "data", source))
    drops = sorted((row["record"], row["rule"], row["detail"]) for row in rows_of(plan, "drops", source))
    return kept, drops
