"""Published shards to training batches, and to plain rows for evaluation.

Every rank reads only its own lanes, and of those only the row groups of a few windows; the next ones are
read in threads meanwhile. What a batch holds is decided in `training.batches`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from itertools import groupby, islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapring import contract
from mapring.contract.schemas import LABEL_FIELDS, PACKED, shard_schema
from mapring.errors import PublishedError, SettingsError
from training.amplification import read_amplification
from training.batches import BatchOrder, Integers, whole_weights
from training.lanes import KeptGroups, Lane, LanesReading, subset
from training.rows import NO_LABEL, NO_PAIR, Booleans, Columns, Floats, Ids, Picked, Rows, pick

__all__ = ["NO_LABEL", "NO_PAIR", "Batch", "ShardReader"]

KEPT_BYTES = 128 << 20  # of decoded row groups in each reader's memory, from one epoch to the next
_WINDOWS_AHEAD = 4


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

    Arrays are views: one that is kept keeps the row groups of all lanes that it was read with.
    """

    def __init__(
        self,
        *,
        doc_ids: Sequence[str] | Picked,
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
        return self._doc_ids.doc_ids() if isinstance(self._doc_ids, Picked) else list(self._doc_ids)


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
        self._kept = KeptGroups(KEPT_BYTES)
        self._coming: tuple[int, LanesReading] | None = None  # an epoch of which the first windows are being read
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
        """Bytes that the busiest rank reads in an epoch, over an even share: at most 1.25 with ranks <= lanes / 4.

        It is that of the first epoch, and of later ones of shards that are much larger than what is kept of them.
        """
        sizes = {entry.path: entry.bytes for entry in self.manifest.files}
        lane_bytes = [sum(sizes[file["path"]] for file in lane) for lane in self._files]
        return read_amplification(self.order, lane_bytes, [int(file["rows"]) for file in self._files[0]], self._size)

    def epoch(self, epoch: int, first_step: int = 0, *, then: int | None = None) -> Iterator[Batch]:
        """Yield this rank's part of every global batch of an epoch, from `first_step` on.

        Rows of the training split come as often as their source's weight says, where the weights differ.
        A batch may be empty on a rank in the last step only. Starting late costs no more than
        reading the window that `first_step` lies in. `then` names the epoch that will be asked for next: its first
        rows are read while the last ones of this one are used, and decoded row groups stay in memory for it.
        """
        if first_step >= self.steps:
            return
        order, last = self.order, self.steps - 1
        per_window = order.steps_per_window
        windows = range(first_step // per_window, order.windows)
        lanes, requested = self._begun(epoch, first_step)
        following = [] if then is None else [(then, window) for window in range(order.windows)]
        ahead = iter([*((epoch, window) for window in windows[requested:]), *following[:_WINDOWS_AHEAD]])
        lanes.is_keeping, is_done = then is not None, False
        try:
            for coming in islice(ahead, _WINDOWS_AHEAD - requested):
                lanes.request(order.window_positions(*coming))
            for window in windows:
                for coming in islice(ahead, 1):
                    lanes.request(order.window_positions(*coming))
                rows, bounds, lane_rows = self._window(*lanes.receive(), epoch, window)
                for step, chunk in enumerate(order.chunks(epoch, window).tolist(), window * per_window):
                    if step >= first_step:
                        global_rows = order.global_batch if step < last else order.global_rows(step)
                        yield _batch(rows, bounds[chunk], bounds[chunk + 1], global_rows, lane_rows[chunk])
            is_done = True
        finally:
            if is_done and then is not None:
                self._coming = then, lanes
            else:
                lanes.close()
            if then is None:
                self._kept = KeptGroups(KEPT_BYTES)

    def rows(self, positions_at_once: int = 1024) -> Iterator[Batch]:
        """Yield all rows of this rank's lanes, once each, in lane and position order, unshuffled.

        `global_rows` of these is the number of rows in the piece itself.
        """
        for lane in self._lanes.values():
            with closing(LanesReading([lane], KeptGroups(0))) as reading:
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
                    columns, [places] = reading.receive()
                    yield _batch(pick(columns, places), 0, len(piece), len(piece))

    def _begun(self, epoch: int, first_step: int) -> tuple[LanesReading, int]:
        """What reads an epoch, and how many of its windows have been asked for in the epoch before."""
        coming, self._coming = self._coming, None
        if coming is not None and coming[0] == epoch and first_step == 0:
            return coming[1], min(_WINDOWS_AHEAD, self.order.windows)
        if coming is not None:
            coming[1].close()
        return LanesReading(list(self._lanes.values()), self._kept), 0

    def _window(
        self, columns: Columns, places: list[Integers], epoch: int, window: int
    ) -> tuple[Rows, list[int], list[list[int]]]:
        """The rows of one window chunk by chunk, where each chunk begins, and how many rows of each lane it has.

        Within a chunk the lanes stand one behind the other, each sorted by length. Behind the last row more chunks
        may begin, which are empty.
        """
        if columns.sources is not None:
            places = [
                own[self._resampled(epoch, window, lane, columns.sources.take(pa.array(own)))]
                for lane, own in zip(self._lanes, places, strict=True)
            ]
        chunk, begins = self.order.chunk, np.arange(self.order.steps_per_window) * self.order.chunk
        counts = np.clip(np.array([len(own) for own in places]) - begins[:, None], 0, chunk)
        lanes = self._sorted(columns, places, epoch, window)
        chunk_of_row = np.concatenate([np.arange(len(own)) // chunk for own in lanes])
        joined = np.concatenate(lanes)[np.argsort(chunk_of_row, kind="stable")]
        return pick(columns, joined), [0, *np.cumsum(counts.sum(axis=1)).tolist()], counts.tolist()

    def _sorted(self, columns: Columns, places: list[Integers], epoch: int, window: int) -> list[Integers]:
        """The places of each lane's rows in a window, by length; lanes with as many rows are sorted together."""
        found: list[Integers] = []
        for _, alike in groupby(zip(self._lanes, places, strict=True), key=lambda lane: len(lane[1])):
            lanes, own = zip(*alike, strict=True)
            stacked = np.stack(own)
            order = self.order.sort_lanes(epoch, window, lanes, columns.lengths[stacked])
            found += list(np.take_along_axis(stacked, order, axis=1))
        return found

    def _resampled(self, epoch: int, window: int, lane: int, sources: pa.ChunkedArray) -> Integers:
        """Which of the lane's rows in the window are used, and how often: as many as there are."""
        names = pa.array(list(self._weights), pa.string())
        places = pc.index_in(sources, value_set=names).to_numpy()
        return self.order.resample_lane(epoch, window, lane, whole_weights(list(self._weights.values()))[places])


def _batch(rows: Rows, start: int, stop: int, global_rows: int, lane_rows: list[int] | None = None) -> Batch:
    return Batch(
        doc_ids=Picked(rows.picked.columns, rows.picked.places[start:stop]),
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
