"""`mapring forget` on a run directory with shards, a model and scores: told, taken out, and never there again."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from mapring import contract, storage
from mapring.care.forgotten import read_forgotten
from mapring.contract import RECORD_NAME, read_manifest
from mapring.contract.verify import verify
from mapring.errors import PublishedError, StageError
from mapring.plan import Plan, check_none_forgotten, make_plan
from mapring.scores.verify import verify_scores
from pipelines.verify import verify_target
from spark_jobs import forget as module
from spark_jobs.explain import explain
from spark_jobs.forget import forget
from spark_jobs.preprocess import preprocess
from spark_jobs.records import document_id
from tests.mapring.care.test_removal import Killed
from tests.spark_jobs.scored_world import World
from tests.tiny import sentence, write_world

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")

TEXT = sentence(3)[0]  # of record 5 of a.csv (the header is a line): own id c3


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards with all that they can have."""
    root = tmp_path_factory.mktemp("original")
    config, _ = write_world(root, duplicates={"keep_sketches": True}, filters={"minimum_words": 1})
    preprocess(make_plan(config))
    return root


@pytest.fixture
def plan(original: Path, tmp_path: Path) -> Plan:
    """A copy of them, and a model that says to be made from them."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "tiny.yaml"
    config.write_text(config.read_text().replace(str(original), str(tmp_path)))
    plan = make_plan(str(config))
    assert contract.is_published(plan.shards_directory)
    publish_model(plan, plan.model, plan.shards)
    return plan


def publish_model(plan: Plan, name: str, *behind: str) -> None:
    links = []
    for fingerprint in behind:
        kind = "shards" if fingerprint == plan.shards else "base_model"
        directory = plan.run.shards(fingerprint) if kind == "shards" else plan.run.model(fingerprint)
        record = storage.read_bytes(storage.join(directory, RECORD_NAME))
        links.append({"kind": kind, "fingerprint": fingerprint, "record_sha256": hashlib.sha256(record).hexdigest()})
    manifest = contract.Manifest(
        kind="model",
        fingerprint=name,
        created=contract.utc_now(),
        code_version="test",
        settings={},
        inputs=tuple(links),
        files=(),
        details={"text": {}},
    )
    contract.publish(plan.run.model(name), manifest)


def holding(plan: Plan, text: str, own_id: str) -> set[str]:
    """Folders below the run directory with a Parquet file that holds a text or an id."""
    found = set()
    for file in Path(plan.run.root).rglob("*.parquet"):
        columns = pq.read_table(file).to_pydict()
        values = {value for name in ("text", "source_id") for value in columns.get(name, ())}
        if values & {text, own_id}:
            found.add(file.parent.name)
    return found


def split_of(plan: Plan, own_id: str) -> str:
    [line] = [line for line in explain(plan, own_id) if "kept: split" in line]
    return line.split("split ")[1].split(",")[0]


def test_a_document_goes_and_never_comes_back(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    publish_model(plan, "b" * 16, plan.model)
    [where] = {"was trained on it"} if split_of(plan, "c3") == "train" else {"was evaluated on it"}
    assert holding(plan, TEXT, "c3") == {"data"}
    before = read_manifest(plan.shards_directory).details["counts"]
    forget(plan, ["c3", "dup2"])
    told = capsys.readouterr().err
    assert f"model {plan.model} {where}" in told and "sketches/" in told and "--purge retires them" in told
    assert "measures/" in told
    if where == "was trained on it":
        assert f"model {'b' * 16} goes back to a model that was trained on it" in told
    assert verify(plan.shards_directory) == [], "what is published stays until it is purged"

    after = make_plan(plan.config)
    assert after.shards != plan.shards and after.model != plan.model
    preprocess(after)
    manifest = read_manifest(after.shards_directory)
    counts = manifest.details["counts"]
    assert counts["read"] == before["read"] == counts["kept"] + sum(counts["dropped"].values())
    assert counts["dropped"] == {**before["dropped"], "exact_duplicate": 1, "forgotten": 3}, "also dup2's twin"
    assert counts["kept"] == before["kept"] - 2
    [entry] = manifest.files_below("drops")
    rows = pq.read_table(Path(after.shards_directory, entry.path)).to_pylist()
    gone = [row for row in rows if row["rule"] == "forgotten"]
    assert {(row["stage"], row["source_id"], row["detail"]) for row in gone} == {("forget", None, None)}
    [row] = [row for row in gone if row["record"] == 5]
    assert "its text, measures and own id are not told" in "\n".join(explain(after, row["doc_id"]))
    assert verify(after.shards_directory) == []

    forget(after, ["c3", "dup2"], purge=True)
    told = capsys.readouterr().err
    assert f"retired {plan.shards_directory}" in told and f"model {plan.model} {where}" in told
    assert holding(plan, TEXT, "c3") == set()
    verify_target(plan.run.root)
    forget(make_plan(plan.config), [row["doc_id"]], purge=True)
    told = capsys.readouterr().err
    assert f"model {plan.model} {where}" in told, "known after the shards are gone"
    assert "known as forgotten already" in told and make_plan(plan.config).shards == after.shards


def test_to_forget_a_copy_that_was_dropped_for_its_twin_is_to_forget_both(plan: Plan) -> None:
    assert "drops" in holding(plan, "", "dup2") and "data" in holding(plan, "good the 3", "")
    forget(plan, ["dup2"], purge=True)
    assert holding(plan, "good the 3", "dup2") == set()


@pytest.mark.parametrize("is_left_in", ["inputs", "shards"])
def test_a_scored_document_of_whose_text_the_corpus_has_a_copy_goes_from_there_too(
    plan: Plan, is_left_in: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(plan.config).parent
    (root / "unseen.txt").write_text(f"{TEXT}\nnothing like it\n")
    if is_left_in == "shards":
        file = root / "corpus" / "a.csv"
        file.write_bytes(file.read_bytes().replace(f"c3,{TEXT},negative\n".encode(), b""))
    copied, other = (document_id(f"unseen\0unseen.txt\0{record}") for record in (1, 2))
    before = make_plan(plan.config)
    forget(before, [copied, other], purge=True)
    assert {one.doc_id: one.of_corpus for one in read_forgotten(plan.run.root)} == {copied: True, other: False}
    after = make_plan(plan.config)
    assert after.shards != before.shards and after.left_out_of_corpus.hashes == {document_id(TEXT)}
    assert holding(plan, TEXT, "") == set() and not contract.is_published(plan.shards_directory)
    if is_left_in == "inputs":
        preprocess(after)
        assert read_manifest(after.shards_directory).details["counts"]["dropped"]["forgotten"] == 1
        assert holding(plan, TEXT, "") == set()


def test_an_unknown_id_does_nothing_and_a_dry_run_only_tells(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PublishedError, match="nobody: found no document with this doc_id or source_id"):
        forget(plan, ["c3", "nobody"], purge=True)
    forget(plan, ["c3"], purge=True, dry_run=True)
    assert "would be retired" in capsys.readouterr().err
    assert read_forgotten(plan.run.root) == () and contract.is_published(plan.shards_directory)
    assert not Path(plan.run.root, "forgotten").exists()


def test_after_its_line_was_taken_out_the_id_means_nobody_else(plan: Plan) -> None:
    forget(plan, ["c3"])
    [one] = read_forgotten(plan.run.root)
    file = Path(plan.config).parent / "corpus" / "a.csv"
    file.write_bytes(file.read_bytes().replace(f"c3,{TEXT},negative\n".encode(), b"").replace(b"c3,", b"x,"))
    forget(make_plan(plan.config), [one.doc_id])
    assert read_forgotten(plan.run.root) == (one,)
    after = make_plan(plan.config)
    assert after.left_out_of_corpus.doc_ids == frozenset(), "another document stands there now"
    with pytest.raises(StageError, match="documents were forgotten while this ran"):
        check_none_forgotten(plan, "preprocess")


@pytest.mark.parametrize("moment", ["remember", "take_out_rows", "remember_model", "remove_published"])
def test_killed_at_any_step_the_same_command_ends_the_same(
    plan: Plan, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(module, moment)

    def killed(*values: object) -> None:
        if moment != "remember":
            real(*values)
        raise Killed

    monkeypatch.setattr(module, moment, killed)
    with pytest.raises(Killed):
        forget(plan, ["c3"], purge=True)
    monkeypatch.undo()
    verify_target(plan.run.root)
    forget(make_plan(plan.config), ["c3"], purge=True)
    assert holding(plan, TEXT, "c3") == set() and len(read_forgotten(plan.run.root)) == 1
    assert len(list(Path(plan.run.root, "forgotten", "models").iterdir())) == 1


def test_scoring_leaves_out_what_is_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    world.add("b", 3, first=1000)  # of which the corpus has none
    rows = world.score()
    gone = next(row for row in rows if row["path"] == "b.txt" and row["record"] == 2)
    forget(world.plan(), [gone["doc_id"]])
    assert "took 1 rows out of the scores table" in capsys.readouterr().err
    assert gone["doc_id"] not in {row["doc_id"] for row in world.rows(world.plan())}
    world.add("c", 1, first=1001)  # a copy of its text
    again = world.score("score.rescore=true")
    assert [row["doc_id"] for row in again] == [row["doc_id"] for row in rows if row is not gone]
    newest = next(entry for entry in DeltaTable(world.plan().run.scores).history() if "mapring.counts" in entry)
    assert '"forgotten": 2' in newest["mapring.counts"] and verify_scores(world.plan().run.scores) == []
    assert world.plan().shards == make_plan(str(world.config)).shards
