"""Published shards to training batches, and to plain rows for evaluation.

Every rank reads only its own lanes, and of those only the row groups of the current window; the next
window is read in a thread meanwhile. What a batch holds is decided in `training.batches`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapring import contract
from mapring.contract.schemas import LABEL_FIELDS, PACKED, shard_schema
from mapring.errors import PublishedError, SettingsError
from training.amplification import read_amplification
from training.batches import BatchOrder, Integers, whole_weights
from training.lanes import Lane, LaneReading, subset
from training.rows import NO_LABEL, NO_PAIR, Booleans, Floats, Ids, Picked, Rows, gather

__all__ = ["NO_LABEL", "NO_PAIR", "Batch", "ShardReader"]

_THREADS = 4  # decoding fills several cores, and of an object store as many reads wait at the same time
_WINDOWS_AHEAD = 2  # besides the one in use


class Batch:
    """Rows of one rank: its part of a global batch, or a piece of a split.

    `input_ids` are int32 arrays of their own lengths, not padded; `label_ids` is int64 of shape (rows,),
    NO_LABEL where a row has none; `global_rows` counts the rows of the global batch over all ranks;
    `texts` is empty unless asked for. Rows of packed shards are sequences: `doc_ids` has their sequence ids,
    and `starts` (else empty) where each piece of a row begins: there positions restart and attention ends.

    Of shards with several labels a row, `label_sets` has the sorted label ids of each, int32 (else empty), and
    `label_ids` is NO_LABEL; of shards labelled with a number, `targets`, float64 of shape (rows,), has it (else NaN).
    `is_labelled`, bool of shape (rows,), tells rows that have their shards' kind of label: a set of no labels is one.
    Of shards of pairs, `second_starts`, int64 of shape (rows,), is the place in `input_ids` of the second text's first
    token (else NO_PAIR); `mapring.pairs.split_pair` takes their `texts` apart.
    `lane_rows` counts the rows of each lane, whose rows stand one behind the other; they add up to the rows.

    Arrays are views: one that is kept keeps the row group that it was read with.
    """

    def __init__(
        self,
        *,
        doc_ids: Sequence[str] | pa.Array,
        input_ids: list[Ids],
        label_ids: Integers,
        global_rows: int,
        texts: list[str],
        starts: list[Ids] | None = None,
        label_sets: list[Ids] | None = None,
        targets: Floats | None = None,
        second_starts: Integers | None = None,
        is_labelled: Booleans | None = None,
        lane_rows: list[int] | None = None,
    ) -> None:
        self._doc_ids = doc_ids
        self.input_ids, self.label_ids, self.global_rows, self.texts = input_ids, label_ids, global_rows, texts
        self.starts = [] if starts is None else starts
        self.label_sets = [] if label_sets is None else label_sets
        rows = len(input_ids)
        self.targets: Floats = np.full(rows, np.nan) if targets is None else targets
        self.second_starts: Integers = np.full(rows, NO_PAIR, np.int64) if second_starts is None else second_starts
        self.is_labelled: Booleans = label_ids != NO_LABEL if is_labelled is None else is_labelled
        self.lane_rows = [rows] if lane_rows is None else lane_rows

    def __len__(self) -> int:
        return len(self.input_ids)

    @cached_property
    def doc_ids(self) -> list[str]:
        """Ids of the rows' documents; made when asked for: for all rows it adds a sixth to the time of reading."""
        return self._doc_ids.to_pylist() if isinstance(self._doc_ids, pa.Array) else list(self._doc_ids)


class ShardReader:
    """Reads one split of published shards for one rank.

    Args:
        shards_directory: path or URI of a published shards directory.
        split: `train`, `validation` or `test`.
        rank, size: this process and how many there are; rank r owns the lanes l with l % size == r.
        seed: seed of the shuffle.
        global_batch: rows per step over all ranks, a multiple of the lanes; one row per lane if None.
        shuffle_window: rows shuffled and sorted by length together, over all lanes.
        text: also read the text.

    Raises:
        PublishedError: nothing is published there, or not shards, or the split is unknown, or packed
            sequences were asked for their text, which they do not hold.
        SettingsError: more ranks than lanes, or a batch that the lanes do not divide.
    """

    def __init__(
        self,
        shards_directory: str,
        split: str,
        *,
        rank: int = 0,
        size: int = 1,
        seed: int = 17,
        global_batch: int | None = None,
        shuffle_window: int = 4096,
        text: bool = False,
    ) -> None:
        self.manifest = contract.read_manifest(shards_directory)
        if self.manifest.kind != "shards":
            raise PublishedError(f"{shards_directory}: found kind {self.manifest.kind!r}, expected 'shards'")
        details = self.manifest.details
        if split not in details["splits"]:
            raise PublishedError(
                f"{shards_directory}: found no split {split!r}, expected one of {', '.join(sorted(details['splits']))}"
            )
        lanes = int(details["lanes"])
        if size > lanes:
            raise SettingsError(f"{shards_directory}: found {lanes} lanes for {size} ranks; use at most {lanes} ranks")
        batch = lanes if global_batch is None else global_batch
        if batch < 1 or batch % lanes:
            raise SettingsError(f"global_batch: found {batch}, expected a multiple of the {lanes} lanes")
        self.order = BatchOrder(
            rows=int(details["splits"][split]["rows"]),
            lanes=lanes,
            rows_per_row_group=int(details["rows_per_row_group"]),
            global_batch=batch,
            shuffle_window=shuffle_window,
            seed=seed,
        )
        self.tokens = int(details["splits"][split]["tokens"])
        is_packed = details.get("packing") is not None
        if is_packed and text:
            raise PublishedError(f"{shards_directory}: found packed sequences, which hold no text; read without text")
        self._weights = {} if is_packed or split != "train" else _unequal_weights(details.get("sources", {}))
        kind, has_pairs = details.get("label_kind", "one"), details.get("pairs", False)
        documents = ["doc_id", LABEL_FIELDS[kind].name, "input_ids", *(["text"] if text else [])]
        documents += ["source"] if self._weights else []
        documents += ["second_start"] if has_pairs else []
        packed = ["sequence_id", "input_ids", "starts"]
        schema = subset(PACKED, packed) if is_packed else subset(shard_schema(kind, has_pairs=has_pairs), documents)
        files = details["splits"][split]["shards"]
        self._files, self._size = files, size
        self._lanes = {lane: Lane(shards_directory, files[lane], schema) for lane in range(rank, lanes, size)}
        for number, lane in self._lanes.items():
            if lane.rows != self.order.lane_rows(number):
                raise PublishedError(
                    f"{shards_directory}: lane {number} of {split} has {lane.rows} rows, expected "
                    f"{self.order.lane_rows(number)}; remove the directory and preprocess again"
                )

    @property
    def rows_in_split(self) -> int:
        """Rows of the split over all ranks."""
        return self.order.rows

    @property
    def steps(self) -> int:
        """Steps in one epoch, the same on every rank."""
        return self.order.steps

    @property
    def read_amplification(self) -> float:
        """Bytes that the busiest rank reads in an epoch, over an even share: at most 1.25 with ranks <= lanes / 4."""
        sizes = {entry.path: entry.bytes for entry in self.manifest.files}
        lane_bytes = [sum(sizes[file["path"]] for file in lane) for lane in self._files]
        return read_amplification(self.order, lane_bytes, [int(file["rows"]) for file in self._files[0]], self._size)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield this rank's part of every global batch of an epoch, from `first_step` on.

        Rows of the training split come as often as their source's weight says, where the weights differ.
        A batch may be empty on a rank in the last step only. Starting late costs no more than
        reading the window that `first_step` lies in.
        """
        if first_step >= self.steps:
            return
        order, last = self.order, self.steps - 1
        per_window = order.steps_per_window
        windows = range(first_step // per_window, -(-self.steps // per_window))
        with _reading_ahead(list(self._lanes.values())) as lanes:
            ahead = iter(windows)
            for window in islice(ahead, _WINDOWS_AHEAD):
                self._request(lanes, epoch, window)
            for window in windows:
                for coming in islice(ahead, 1):
                    self._request(lanes, epoch, coming)
                rows, bounds, lane_rows = self._window(lanes, epoch, window)
                for step, chunk in enumerate(order.chunks(epoch, window).tolist(), window * per_window):
                    if step >= first_step:
                        global_rows = order.global_batch if step < last else order.global_rows(step)
                        yield _batch(rows, bounds[chunk], bounds[chunk + 1], global_rows, lane_rows[chunk])

    def rows(self, positions_at_once: int = 1024) -> Iterator[Batch]:
        """Yield all rows of this rank's lanes, once each, in lane and position order, unshuffled.

        `global_rows` of these is the number of rows in the piece itself.
        """
        for lane in self._lanes.values():
            with _reading_ahead([lane]) as (reading,):
                pieces = [
                    np.arange(start, min(start + positions_at_once, lane.rows), dtype=np.int64)
                    for start in range(0, lane.rows, positions_at_once)
                ]
                ahead = iter(pieces)
                for piece in islice(ahead, _WINDOWS_AHEAD):
                    reading.request(piece)
                for piece in pieces:
                    for coming in islice(ahead, 1):
                        reading.request(coming)
                    count = len(piece)
                    yield _batch(gather([reading.receive()], np.arange(count, dtype=np.int64)), 0, count, count)

    def _request(self, lanes: Sequence[LaneReading], epoch: int, window: int) -> None:
        positions = self.order.window_positions(epoch, window)
        for lane, reading in zip(self._lanes.values(), lanes, strict=True):
            reading.request(positions[positions < lane.rows])

    def _window(self, lanes: Sequence[LaneReading], epoch: int, window: int) -> tuple[Rows, list[int], list[list[int]]]:
        """The rows of one window chunk by chunk, where each chunk begins, and how many rows of each lane it has.

        Within a chunk the lanes stand one behind the other, each sorted by length. Behind the last row more chunks
        may begin, which are empty.
        """
        parts = []
        for number, reading in zip(self._lanes, lanes, strict=True):
            columns, places = reading.receive()
            if columns.sources is not None:
                places = places[self._resampled(epoch, window, number, columns.sources.take(pa.array(places)))]
            order = self.order.sort_lane(epoch, window, number, columns.lengths[places])
            parts.append(Picked(columns, places[order]))
        chunks = [np.arange(len(places)) // self.order.chunk for _, places in parts]
        counts = np.stack([np.bincount(lane, minlength=self.order.steps_per_window) for lane in chunks], axis=1)
        rows = gather(parts, np.argsort(np.concatenate(chunks), kind="stable"))
        return rows, [0, *np.cumsum(counts.sum(axis=1)).tolist()], counts.tolist()

    def _resampled(self, epoch: int, window: int, lane: int, sources: pa.ChunkedArray) -> Integers:
        """Which of the lane's rows in the window are used, and how often: as many as there are."""
        names = pa.array(list(self._weights), pa.string())
        places = pc.index_in(sources, value_set=names).to_numpy()
        return self.order.resample_lane(epoch, window, lane, whole_weights(list(self._weights.values()))[places])


@contextmanager
def _reading_ahead(lanes: Sequence[Lane]) -> Iterator[list[LaneReading]]:
    """Read lanes in threads of their own, which end with the block."""
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="shard-reader")
    try:
        yield [LaneReading(lane, pool) for lane in lanes]
    finally:
        pool.shutdown(cancel_futures=True)


def _batch(rows: Rows, start: int, stop: int, global_rows: int, lane_rows: list[int] | None = None) -> Batch:
    return Batch(
        doc_ids=rows.doc_ids.slice(start, stop - start),
        input_ids=rows.input_ids[start:stop],
        label_ids=rows.label_ids[start:stop],
        global_rows=global_rows,
        texts=rows.texts[start:stop],
        starts=rows.starts[start:stop],
        label_sets=rows.label_sets[start:stop],
        targets=rows.targets[start:stop],
        second_starts=rows.second_starts[start:stop],
        is_labelled=rows.is_labelled[start:stop],
        lane_rows=lane_rows,
    )


def _unequal_weights(sources: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The sampling weight of each source; none where all have the same, which is no sampling at all."""
    weights = {name: float(source["weight"]) for name, source in sources.items()}
    return weights if len(set(weights.values())) > 1 else {}
