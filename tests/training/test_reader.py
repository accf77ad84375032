"""The reader: what is in the files comes out once, by lanes, from any step on."""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mapring
import training.reader
from mapring.contract.schemas import LabelKind
from mapring.errors import PublishedError, SettingsError
from mapring.pairs import split_pair
from tests.training.conftest import LABELS, PlanMaker, made_documents
from tests.training.shards import Document, build_shards
from training.amplification import MOST
from training.lanes import KeptGroups, Place
from training.reader import NO_LABEL, NO_PAIR, Batch, ShardReader


@pytest.fixture
def directory(make_tiny_plan: PlanMaker) -> str:
    return make_tiny_plan().shards_directory


def reader(directory: str, split: str = "train", rank: int = 0, size: int = 1, **options: object) -> ShardReader:
    return ShardReader(directory, split, rank=rank, size=size, global_batch=16, shuffle_window=64, **options)


def content(batches: list[Batch]) -> list[list[str]]:
    return [sorted(batch.doc_ids) for batch in batches]


def test_it_is_the_public_reader() -> None:
    assert mapring.ShardReader is ShardReader


def test_an_epoch_holds_each_row_once_with_its_own_ids_and_label(directory: str) -> None:
    stored = {}
    for batch in reader(directory, text=True).rows():
        for row in zip(batch.doc_ids, batch.input_ids, batch.label_ids, batch.texts, strict=True):
            stored[row[0]] = (row[1].tolist(), int(row[2]), row[3])
    assert len(stored) == reader(directory).rows_in_split
    for batch in reader(directory, text=True).epoch(1):
        assert batch.global_rows == len(batch)
        for row in zip(batch.doc_ids, batch.input_ids, batch.label_ids, batch.texts, strict=True):
            assert stored.pop(row[0]) == (row[1].tolist(), int(row[2]), row[3])
    assert not stored


@pytest.mark.parametrize("size", [2, 3, 4])
def test_ranks_together_read_the_batches_of_one_process(directory: str, size: int) -> None:
    alone = content(list(reader(directory).epoch(2)))
    ranks = [list(reader(directory, rank=rank, size=size).epoch(2)) for rank in range(size)]
    assert [len(batches) for batches in ranks] == [len(alone)] * size
    together = [[doc_id for batch in step for doc_id in batch.doc_ids] for step in zip(*ranks, strict=True)]
    assert [sorted(rows) for rows in together] == alone
    assert [step[0].global_rows for step in zip(*ranks, strict=True)] == [len(rows) for rows in alone]


def test_an_epoch_can_start_at_any_step(directory: str) -> None:
    whole = [batch.doc_ids for batch in reader(directory).epoch(0)]
    for first in range(len(whole) + 1):
        assert [batch.doc_ids for batch in reader(directory).epoch(0, first)] == whole[first:]


def test_batches_have_rows_of_about_one_length(directory: str) -> None:
    wide = [max(map(len, batch.input_ids)) - min(map(len, batch.input_ids)) for batch in reader(directory).epoch(0)]
    assert sum(wide) / len(wide) <= 9  # rows at random would spread over 17 tokens


def test_row_groups_that_do_not_divide_files_are_read_right(tmp_path: Path, base_model: Path) -> None:
    documents = made_documents(101)
    target = str(tmp_path / "odd")
    shape = {"lanes": 3, "rows_per_shard": 10, "rows_per_row_group": 4}
    splits = {"train": documents, "validation": [], "test": []}
    build_shards(target, splits, labels=LABELS, tokenizer=base_model, **shape)
    odd = ShardReader(target, "train", global_batch=6, shuffle_window=30, text=True)
    texts = Counter(text for batch in odd.epoch(0) for text in batch.texts)
    assert texts == Counter(document.text for document in documents)


@pytest.mark.parametrize(("ranks", "expected"), [(1, 1.0), (2, 1.0), (3, 1.125), (4, 1.0), (5, 1.25), (15, 1.875)])
def test_a_rank_reads_little_more_than_its_share(ranks: int, expected: float, tmp_path: Path, base_model: Path) -> None:
    target = str(tmp_path / "many")
    splits = {"train": made_documents(800), "validation": [], "test": []}
    build_shards(target, splits, labels=LABELS, tokenizer=base_model, lanes=16)
    told = ShardReader(target, "train", size=ranks).read_amplification
    assert told == pytest.approx(expected, rel=0.03)  # lanes differ by some bytes
    assert ranks > 16 / 4 or told <= MOST
    assert ShardReader(target, "test", size=ranks).read_amplification == 1.0


def count_reads(rows: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Note the rows of each row group that is read."""
    read_row_group = pq.ParquetFile.read_row_group

    def counted(file: pq.ParquetFile, group: int, **options: object) -> object:
        rows.append(file.metadata.row_group(group).num_rows)
        return read_row_group(file, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)


@pytest.mark.parametrize("rows_per_row_group", [4, 40])
@pytest.mark.parametrize("kept", [0, 3000, 1 << 20])  # nothing, some of the row groups, all
def test_epochs_are_the_same_whatever_is_kept_and_read_ahead(
    kept: int, rows_per_row_group: int, tmp_path: Path, base_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, read = str(tmp_path / "kept"), list[int]()
    splits = {"train": made_documents(303), "validation": [], "test": []}
    build_shards(target, splits, labels=LABELS, tokenizer=base_model, lanes=3, rows_per_row_group=rows_per_row_group)
    expected = [[batch.doc_ids for batch in reader_of_three(target).epoch(epoch)] for epoch in (0, 1, 2, 1)]
    monkeypatch.setattr(training.reader, "KEPT_BYTES", kept)
    count_reads(read, monkeypatch)
    ahead = reader_of_three(target)
    for epoch, then, found in zip((0, 1, 2, 1), (1, 2, 0, None), expected, strict=True):  # the third is not asked for
        assert [batch.doc_ids for batch in ahead.epoch(epoch, then=then)] == found
    least, most = {0: (4 * 303, 9999), 3000: (304, 9999), 1 << 20: (303, 303)}[kept]
    assert least <= sum(read) <= most
    assert [batch.doc_ids for batch in ahead.epoch(2, 7, then=0)] == expected[2][7:]
    assert [batch.doc_ids for batch in ahead.epoch(0)] == expected[0]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("shard-reader")]


def test_a_last_window_may_have_no_rows_of_a_rank(tmp_path: Path, base_model: Path) -> None:
    target = str(tmp_path / "extra")
    splits = {
        "train": made_documents(61),
        "validation": [],
        "test": [],
    }  # the 21st row of lane 0 is a window of its own
    build_shards(target, splits, labels=LABELS, tokenizer=base_model, lanes=3)
    assert sum(map(len, reader_of_three(target).epoch(0))) == 61
    ranks = [ShardReader(target, "train", rank=rank, size=3, global_batch=6, shuffle_window=30) for rank in range(3)]
    assert [sum(map(len, one.epoch(0))) for one in ranks] == [21, 20, 20]


def test_the_next_epoch_begins_while_this_one_ends(
    tmp_path: Path, base_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, read = str(tmp_path / "next"), list[int]()
    splits = {"train": made_documents(303), "validation": [], "test": []}
    build_shards(target, splits, labels=LABELS, tokenizer=base_model, lanes=3, rows_per_row_group=4)
    monkeypatch.setattr(training.reader, "KEPT_BYTES", 0)
    count_reads(read, monkeypatch)
    ahead = reader_of_three(target)
    batches = ahead.epoch(0, then=1)
    assert sum(map(len, batches)) == 303
    assert ahead._coming is not None and ahead._coming[0] == 1
    for columns, _ in ahead._coming[1]._requests:
        columns.result()
    assert sum(read) == 303 + 4 * 3 * 10  # four windows of ten positions of each lane
    read.clear()
    assert sum(map(len, ahead.epoch(1))) == 303
    assert sum(read) == 303 - 4 * 3 * 10 and ahead._coming is None


def test_row_groups_are_kept_while_there_is_room() -> None:
    kept, tables = KeptGroups(200), [pa.table({"a": [float(number)] * rows}) for number, rows in enumerate((20, 10, 5))]
    for group, table in enumerate(tables):  # of 160, 80 and 40 bytes
        for _ in range(2):  # as two requests that wait for the same one do
            kept.offer(Place(0, group), table)
    assert [kept.get(Place(0, group)) for group in range(3)] == [tables[0], None, tables[2]]


def reader_of_three(target: str) -> ShardReader:
    return ShardReader(target, "train", global_batch=6, shuffle_window=30)


@pytest.mark.parametrize(("rows_per_shard", "again"), [(48, False), (10, True)])
def test_what_is_told_to_be_read_is_read(
    rows_per_shard: int, again: bool, tmp_path: Path, base_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, read = str(tmp_path / "counted"), list[int]()
    splits = {"train": made_documents(303), "validation": [], "test": []}
    shape = {"lanes": 3, "rows_per_shard": rows_per_shard, "rows_per_row_group": 4}
    build_shards(target, splits, labels=LABELS, tokenizer=base_model, **shape)

    count_reads(read, monkeypatch)
    whole = ShardReader(target, "train", global_batch=6, shuffle_window=30)
    assert sum(map(len, whole.epoch(0))) == 303
    assert whole.read_amplification == pytest.approx(sum(read) / 303)
    assert (sum(read) > 303) == again


def test_fewer_rows_than_lanes_and_rows_without_label(tmp_path: Path, base_model: Path) -> None:
    target = str(tmp_path / "few")
    splits = {"train": [Document("a good day", None)], "validation": [], "test": []}
    build_shards(target, splits, labels=LABELS, tokenizer=base_model, lanes=4)
    parts = [list(ShardReader(target, "train", rank=rank, size=2).epoch(0)) for rank in range(2)]
    assert [[len(batch) for batch in part] for part in parts] == [[1], [0]]
    assert parts[0][0].label_ids.tolist() == [NO_LABEL]
    assert parts[1][0].global_rows == 1
    assert list(ShardReader(target, "test").epoch(0)) == []


def test_mistakes_are_told(directory: str, tmp_path: Path) -> None:
    with pytest.raises(PublishedError, match="run the stage"):
        ShardReader(str(tmp_path / "nothing"), "train")
    with pytest.raises(PublishedError, match="expected one of test, train, validation"):
        ShardReader(directory, "dev")
    with pytest.raises(SettingsError, match="at most 4 ranks"):
        ShardReader(directory, "train", size=5)
    with pytest.raises(SettingsError, match="multiple of the 4 lanes"):
        ShardReader(directory, "train", global_batch=6)


def test_a_damaged_file_is_told_by_name(directory: str) -> None:
    file = sorted(Path(directory, "data").glob("train-*"))[0]
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(PublishedError, match=file.name):
        list(reader(directory).epoch(0))


def labelled(kind: LabelKind, count: int = 101) -> list[Document]:
    """Documents with labels of a kind; every fifth has none."""
    chance, found = random.Random(5), []
    for number, (text, label_id, *_) in enumerate(made_documents(count)):
        is_known = number % 5 > 0
        sets = sorted(chance.sample(range(4), chance.randint(0, 4))) if is_known else None
        target = chance.uniform(-9, 9) if is_known else None
        second = " ".join(chance.choices(["good", "film"], k=number % 30 + 1))
        found.append(Document(text, label_id if is_known else None, "made", sets, target, second))
    return [one if kind == "several" else one._replace(second_text=None) for one in found]


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("kind", ["one", "several", "number"])
def test_every_kind_of_label_comes_with_its_row(kind: LabelKind, size: int, tmp_path: Path, base_model: Path) -> None:
    documents, target = {one.text: one for one in labelled(kind)}, str(tmp_path / "kinds")
    splits = {"train": list(documents.values()), "validation": [], "test": []}
    names = [] if kind == "number" else list("abcd")
    build_shards(
        target, splits, labels=names, tokenizer=base_model, label_kind=kind, rows_per_shard=10, rows_per_row_group=4
    )
    seen = 0
    for rank in range(size):
        whole = ShardReader(target, "train", rank=rank, size=size, global_batch=8, shuffle_window=30, text=True)
        for batch in [*whole.epoch(1), *whole.rows()]:
            seen += len(batch)
            assert len(batch.label_sets) == (len(batch) if kind == "several" else 0)
            assert (batch.targets.dtype, batch.targets.shape) == (np.float64, (len(batch),))
            assert (batch.second_starts.dtype, batch.second_starts.shape) == (np.int64, (len(batch),))
            assert (batch.is_labelled.dtype, batch.is_labelled.shape) == (np.bool_, (len(batch),))
            for row, text in enumerate(batch.texts):
                one = documents[split_pair(text)[0] if kind == "several" else text]
                check_row(batch, row, one, kind)
    assert seen == 2 * len(documents)


def check_row(batch: Batch, row: int, one: Document, kind: LabelKind) -> None:
    value = {"one": one.label_id, "several": one.label_ids, "number": one.target}[kind]
    assert batch.is_labelled[row] == (value is not None)
    assert batch.label_ids[row] == (one.label_id if kind == "one" and value is not None else NO_LABEL)
    if kind == "number" and value is not None:
        assert batch.targets[row] == value
    else:
        assert np.isnan(batch.targets[row])
    if kind != "several":
        assert batch.second_starts[row] == NO_PAIR
        return
    assert batch.label_sets[row].dtype == np.int32 and batch.label_sets[row].tolist() == (value or [])
    separator = 3  # [SEP], before the second text and behind it
    assert batch.input_ids[row][batch.second_starts[row] - 1] == separator == batch.input_ids[row][-1]


WEIGHTS = {"often": 3.0, "seldom": 0.5, "plain": 1.0}


def weighted(target: Path, tokenizer: Path, weights: dict[str, float]) -> str:
    names = list(WEIGHTS)
    documents = [Document(one.text, one.label_id, names[number % 3]) for number, one in enumerate(made_documents(900))]
    splits = {"train": documents, "validation": [], "test": documents[:90]}
    build_shards(str(target), splits, labels=LABELS, tokenizer=tokenizer, weights=weights)
    return str(target)


def sources_of(directory: str) -> dict[str, str]:
    found = {}
    for entry in mapring.contract.read_manifest(directory).files_below("data"):
        rows = pq.read_table(Path(directory, entry.path), columns=["doc_id", "source"]).to_pylist()
        found.update({row["doc_id"]: row["source"] for row in rows})
    return found


def test_sources_come_as_often_as_their_weights_say_and_steps_stay(tmp_path: Path, base_model: Path) -> None:
    directory = weighted(tmp_path / "shards", base_model, WEIGHTS)
    source = sources_of(directory)
    seen: Counter[str] = Counter()
    for epoch in range(4):
        batches = list(reader(directory).epoch(epoch))
        assert [len(batch) for batch in batches] == [16] * 56 + [4]
        seen.update(source[doc_id] for batch in batches for doc_id in batch.doc_ids)
    assert seen.total() == 3600
    for name, weight in WEIGHTS.items():
        assert abs(seen[name] / 3600 - weight / sum(WEIGHTS.values())) < 0.01


@pytest.mark.parametrize("size", [2, 3, 4])
def test_ranks_together_sample_what_one_process_does(tmp_path: Path, base_model: Path, size: int) -> None:
    directory = weighted(tmp_path / "shards", base_model, WEIGHTS)
    alone = content(list(reader(directory).epoch(1)))
    ranks = [list(reader(directory, rank=rank, size=size).epoch(1)) for rank in range(size)]
    assert [sorted(i for batch in step for i in batch.doc_ids) for step in zip(*ranks, strict=True)] == alone
    assert content(list(reader(directory).epoch(1, 30))) == alone[30:]


def test_weights_touch_neither_evaluation_nor_equal_sources(tmp_path: Path, base_model: Path) -> None:
    plain = weighted(tmp_path / "plain", base_model, dict.fromkeys(WEIGHTS, 2.0))
    other = weighted(tmp_path / "other", base_model, WEIGHTS)
    assert {len(set(ids)) for ids in [[i for batch in reader(plain).epoch(0) for i in batch.doc_ids]]} == {900}
    for split in ("test", "train"):
        rows = [doc_id for batch in reader(other, split).rows() for doc_id in batch.doc_ids]
        assert len(rows) == len(set(rows))
    held = [doc_id for batch in reader(other, "test").epoch(0) for doc_id in batch.doc_ids]
    assert len(held) == len(set(held)) == 90
