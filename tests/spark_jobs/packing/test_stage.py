"""Packing end to end: every token of every kept document is published once, whatever the partitions."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mapring.contract import Manifest, read_manifest
from mapring.contract.schemas import PACKED
from mapring.contract.verify import verify
from mapring.errors import PublishedError, SettingsError, StageError
from mapring.plan import Plan, make_plan
from mapring.text import Encoder
from spark_jobs.explain import explain
from spark_jobs.preprocess import preprocess
from tests.tiny import sentence, write_world
from training.reader import ShardReader
from training.tasks import open_task

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")


def packed_plan(root: Path, *overrides: str) -> Plan:
    config, _ = write_world(root)
    texts = [" ".join(sentence(number + step)[0] for step in range(number % 9 + 1)) for number in range(200)]
    rows = [*({"id": f"p{number}", "text": text} for number, text in enumerate(texts)), {"id": "p5", "text": texts[5]}]
    (root / "prose.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    inputs = f"[{{name: prose, path: {root}/prose.jsonl, format: jsonl, id_column: id}}]"
    words = [f"preprocess.inputs={inputs}", "preprocess.packing=best_fit", "preprocess.rows_per_shard=20"]
    return make_plan(config, [*words, *overrides])


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Manifest]:
    plan = packed_plan(tmp_path_factory.mktemp("packed"))
    preprocess(plan)
    return plan, read_manifest(plan.shards_directory)


def rows(plan: Plan, manifest: Manifest) -> pa.Table:
    return pa.concat_tables(
        [pq.read_table(Path(plan.shards_directory, entry.path)) for entry in manifest.files_below("data")]
    )


def test_documents_can_be_put_together_again_from_their_pieces(packed: tuple[Plan, Manifest]) -> None:
    plan, manifest = packed
    table = rows(plan, manifest)
    assert table.schema == PACKED and verify(plan.shards_directory) == []
    pieces: dict[str, dict[int, list[int]]] = {}
    for row in table.to_pylist():
        assert len(row["input_ids"]) <= 32
        ends = [*row["starts"][1:], len(row["input_ids"])]
        for doc_id, start, end, offset in zip(row["doc_ids"], row["starts"], ends, row["offsets"], strict=True):
            assert offset not in pieces.setdefault(doc_id, {})
            pieces[doc_id][offset] = row["input_ids"][start:end]
    documents = []
    for parts in pieces.values():
        whole: list[int] = []
        for offset in sorted(parts):
            assert offset == len(whole)
            whole += parts[offset]
        documents.append(tuple(whole))
    assert len(documents) == manifest.details["counts"]["kept"] == 200
    lines = Path(plan.settings.preprocess.inputs[0].path).read_text().splitlines()
    texts = list(dict.fromkeys(json.loads(line)["text"] for line in lines))
    encoder = Encoder(Path(plan.shards_directory, "tokenizer"), None)
    assert sorted(documents) == sorted(map(tuple, encoder.encode(texts)))
    assert max(map(len, documents)) > 64, "some documents are longer than two sequences"


def test_statistics_count_documents_and_not_sequences(packed: tuple[Plan, Manifest]) -> None:
    plan, manifest = packed
    tables = {entry.path.split("/")[1].rsplit("-", 1)[0]: entry.path for entry in manifest.files_below("stats")}
    words, terms = (
        pq.read_table(Path(plan.shards_directory, tables[name])).to_pylist() for name in ("words", "top_terms")
    )
    total = sum(row["occurrences"] for row in words)
    kept = manifest.details["counts"]["kept"]
    assert terms
    for row in terms:  # there is one source, and no word is cut off
        assert row["score"] == pytest.approx(row["occurrences"] / total * math.log(kept / row["documents"]))


def test_the_manifest_tells_how_full_the_sequences_are(packed: tuple[Plan, Manifest]) -> None:
    plan, manifest = packed
    table = rows(plan, manifest)
    told = manifest.details["packing"]
    assert sum(entry["sequences"] for entry in told.values()) == table.num_rows
    assert sum(entry["documents"] for entry in told.values()) == 200
    assert all(
        entry["fill_rate"] == pytest.approx(entry["tokens"] / entry["capacity"], abs=1e-6) for entry in told.values()
    )
    assert told["train"]["fill_rate"] > 0.9


def test_lanes_of_sequences_differ_by_at_most_one_and_any_reader_can_read_them(packed: tuple[Plan, Manifest]) -> None:
    plan, manifest = packed
    reader = ShardReader(plan.shards_directory, "train")
    batches = list(reader.epoch(0))
    assert sum(map(len, batches)) == manifest.details["packing"]["train"]["sequences"]
    for batch in batches:
        for ids, starts in zip(batch.input_ids, batch.starts, strict=True):
            assert starts[0] == 0 and (np.diff(starts) > 0).all() and starts[-1] < len(ids)


def test_the_story_of_a_document_names_every_sequence_that_holds_a_piece_of_it(packed: tuple[Plan, Manifest]) -> None:
    plan, manifest = packed
    pieces = [doc_id for ids in rows(plan, manifest)["doc_ids"].to_pylist() for doc_id in ids]
    longest = max(pieces, key=pieces.count)
    told = "\n".join(explain(plan, longest))
    assert told.count("  kept: split ") == pieces.count(longest) > 1
    assert "from its token 0 at " in told and "from prose/prose.jsonl, record " in told
    own = re.search(r", your id (p\d+)$", told, re.MULTILINE)
    assert own is not None and "\n".join(explain(plan, own[1])) == told
    for split, path, lane, position, offset, start in re.findall(
        r"kept: split (\w+), (\S+), lane (\d+), position (\d+), from its token (\d+) at (\d+) of the sequence", told
    ):
        files = manifest.details["splits"][split]["shards"][int(lane)]
        before = sum(part["rows"] for part in files[: [part["path"] for part in files].index(path)])
        row = pq.read_table(Path(plan.shards_directory, path)).slice(int(position) - before, 1).to_pylist()[0]
        place = row["starts"].index(int(start))
        assert (row["doc_ids"][place], row["offsets"][place]) == (longest, int(offset))


def test_the_story_of_an_own_id_that_two_documents_have_tells_both(packed: tuple[Plan, Manifest]) -> None:
    plan, _ = packed
    told = "\n".join(explain(plan, "p5"))
    assert told.count("\ndocument ") == 2 and told.count(", your id p5") == 2
    assert "by rule exact_duplicate" in told and "  kept: split " in told
    assert "kept twin: document " in told and "from the twin to this one: no word differs" in told
    with pytest.raises(PublishedError, match=r"p999: found no document"):
        list(explain(plan, "p999"))


@pytest.mark.slow  # a whole preprocessing more
@pytest.mark.parametrize("partitions", [1, 7])
def test_the_same_bytes_whatever_the_partitions(packed: tuple[Plan, Manifest], tmp_path: Path, partitions: int) -> None:
    plan, manifest = packed
    other = make_plan(plan.config, [*plan.overrides, f"run_dir={tmp_path}", f"spark.partitions={partitions}"])
    preprocess(other)
    assert read_manifest(other.shards_directory).files == manifest.files


def test_what_cannot_be_packed_is_refused(packed: tuple[Plan, Manifest], tmp_path: Path) -> None:
    plan, _ = packed
    with pytest.raises(StageError, match="packed sequences"):
        open_task(plan)
    config, _ = write_world(tmp_path)
    with pytest.raises(SettingsError, match=r"label_column: found 'label' with packing=best_fit"):
        make_plan(config, ["preprocess.packing=best_fit"])
    with pytest.raises(SettingsError, match="packing: found best_fit without a tokenizer"):
        packed_plan(tmp_path, "preprocess.tokenizer=null")


def test_texts_can_be_published_without_tokens(tmp_path: Path) -> None:
    plan = packed_plan(tmp_path, "preprocess.tokenizer=null", "preprocess.packing=none")
    preprocess(plan)
    manifest = read_manifest(plan.shards_directory)
    table = rows(plan, manifest)
    assert table.num_rows == 200 and not any(table["input_ids"].to_pylist())
    assert manifest.details["tokenizer"] is None and not manifest.files_below("tokenizer")
    with pytest.raises(StageError, match="found texts without tokens"):
        open_task(plan)
