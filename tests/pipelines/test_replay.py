"""`mapring replay`: its counts are those of a real rerun, for several thresholds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from mapring.contract import read_manifest
from mapring.contract.schemas import DROP
from mapring.errors import MapringError, PublishedError, SettingsError
from mapring.filter_rules import RULE_NAMES
from mapring.plan import Plan, make_plan
from mapring.settings import load_settings
from pipelines.cli import app
from pipelines.replay import _own_twins, print_replay, replay
from spark_jobs.preprocess import preprocess
from tests.spark_jobs.filters.dirty import write_dirty_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
FILTERS = "preprocess.filters"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    plan = make_plan(write_dirty_world(tmp_path_factory.mktemp("replay")))
    preprocess(plan)
    return plan


_MORE_WORDS = (f"{FILTERS}.minimum_words=20", f"{FILTERS}.minimum_language_score=0.95")
_OTHER_PRESETS = (
    f"{FILTERS}.presets=[gopher_repetition]",
    f"{FILTERS}.thresholds={{}}",
    f"{FILTERS}.languages=[en, de]",
)
_WIDER = (f"{FILTERS}.thresholds.gopher_top_2_grams=0.9", f"{FILTERS}.minimum_words=3", f"{FILTERS}.blocklist=[]")


@pytest.mark.slow  # two whole preprocessings each
@pytest.mark.parametrize("overrides", [_MORE_WORDS, _OTHER_PRESETS, _WIDER])
def test_counts_are_those_of_a_real_rerun(plan: Plan, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    filters = load_settings(plan.config, overrides).preprocess.filters
    found = replay(plan.shards_directory, filters)
    other = make_plan(plan.config, [*overrides, f"run_dir={tmp_path}"])
    preprocess(other)
    counts = read_manifest(other.shards_directory).details["counts"]
    dropped = {rule: count for rule, count in counts["dropped"].items() if rule in RULE_NAMES}
    assert found.after == Counter(dropped)
    assert found.passed_after == counts["kept"] + counts["dropped"].get("exact_duplicate", 0)
    assert found.after_duplicates == pytest.approx(counts["kept"], abs=2)


def test_the_published_thresholds_give_the_published_counts(plan: Plan) -> None:
    found = replay(plan.shards_directory, plan.settings.preprocess.filters)
    counts = read_manifest(plan.shards_directory).details["counts"]
    assert found.after == found.before
    assert found.after_duplicates == found.kept_before == counts["kept"]


def test_what_later_rules_dropped_is_not_counted_as_left(plan: Plan, tmp_path: Path) -> None:
    [entry, *_] = read_manifest(plan.shards_directory).files_below("data")
    texts = pq.read_table(Path(plan.shards_directory, entry.path), columns=["text"]).column("text").to_pylist()
    (tmp_path / "evaluation.txt").write_text(texts[0].replace("\n", " "))
    inputs = f"[{{name: e, path: {tmp_path}/evaluation.txt, format: text}}]"
    other = make_plan(plan.config, [f"run_dir={tmp_path}", f"preprocess.decontamination.inputs={inputs}"])
    preprocess(other)
    counts = read_manifest(other.shards_directory).details["counts"]
    assert counts["dropped"]["contaminated"] >= 1
    found = replay(other.shards_directory, other.settings.preprocess.filters)
    assert found.after == found.before and found.after_duplicates == counts["kept"]


def test_a_twin_of_earlier_shards_is_not_taken_for_a_document_of_the_same_id() -> None:
    row = dict.fromkeys(DROP.names) | {"doc_id": "a", "kept_doc_id": "b", "record": 1}
    rows = [row, row | {"doc_id": "c", "detail": "kept in shards 0123456789abcdef"}]
    drops = pa.table({name: pa.array([one[name] for one in rows], DROP.field(name).type) for name in DROP.names})
    assert _own_twins(drops).to_pylist() == [{"doc_id": "a", "kept_doc_id": "b"}, {"doc_id": "c", "kept_doc_id": None}]


def test_the_command_prints_a_table(plan: Plan) -> None:
    words = ["replay", plan.config, f"{FILTERS}.minimum_words=3", "--shards", plan.shards_directory]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "160"})
    assert done.exit_code == 0
    lines = {line.split("│")[1].strip(): line.split("│")[2:5] for line in done.stdout.splitlines() if "│" in line}
    assert [cell.strip() for cell in lines["too_few_words"]] == ["3", "2", "0"]
    assert [cell.strip() for cell in lines["pass the filters (exact)"]] == ["", "82", "84"]
    assert "about" in lines["left without duplicates (estimate)"][2]


@pytest.mark.parametrize(
    ("word", "error", "said"),
    [
        (f"{FILTERS}.presets=[fineweb, c4]", SettingsError, "rule fineweb_punctuated_lines: punctuated_line_share was"),
        (f"{FILTERS}.blocklist=[other]", SettingsError, "other phrases were counted"),
        ("seed=4", SettingsError, "replay changes filters only"),
        (f"{FILTERS}.minimum_wrods=4", SettingsError, "did you mean minimum_words"),
    ],
)
def test_what_was_not_measured_is_refused(plan: Plan, word: str, error: type[MapringError], said: str) -> None:
    with pytest.raises(error, match=said):
        print_replay(plan.config, [word, f"{FILTERS}.thresholds={{}}"])


def test_shards_without_measures_are_refused(plan: Plan, tmp_path: Path) -> None:
    other = make_plan(plan.config, [f"run_dir={tmp_path}", "preprocess.filters={}"])
    with pytest.raises(PublishedError, match=r"found no published\.json"):
        replay(other.shards_directory, plan.settings.preprocess.filters)
    preprocess(other)
    with pytest.raises(PublishedError, match="holds no measures"):
        replay(other.shards_directory, plan.settings.preprocess.filters)
