"""What stands in a label column: a name, several names, or a number; as read, as counted, and as it stands in shards.

Up to the shards a label is one string: the name, all names sorted and joined, or the number as Python writes it.
So it is the same whatever the order and the blanks in the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapring.contract.schemas import LABEL_FIELDS, LabelKind
from mapring.errors import InputError
from mapring.values import number_of
from spark_jobs.formats.raw import LIST_END

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SHOWN_CHARACTERS = 40  # of a value that is no number
_MOST_LABEL_SHARE, _LEAST_JUDGED = 0.5, 20  # different labels a document, from so many documents on


class ReadLabels(NamedTuple):
    """Labels as strings, null where there is none; and what is wrong with a value, null where it is sound."""

    values: pa.StringArray
    problems: pa.StringArray


@dataclass(frozen=True)
class Labels:
    """How a pipeline's label columns are read; `separator` stands between several names."""

    kind: LabelKind = "one"
    separator: str = "|"

    def read(self, raw: pa.StringArray, column: str | None) -> ReadLabels:
        """Labels from what stands in the column of this name."""
        if self.kind == "one":
            is_list = pc.fill_null(pc.match_substring(raw, LIST_END), False)
            return ReadLabels(pc.utf8_trim_whitespace(raw), pc.if_else(is_list, _a_list(column), None))
        if self.kind == "several":
            problems = _of_each(raw, lambda text: self._split_problem(text, column))
            return ReadLabels(_of_each(raw, self._canonical), problems)
        return ReadLabels(_of_each(raw, _number_text), _of_each(raw, lambda text: _problem(text, column)))

    def names(self, documents: DataFrame, most: int) -> list[str]:
        """The different names in the labels of documents, sorted; of more than `most`, no more than one beyond.

        Numbers have no names.
        """
        from pyspark.sql import functions as F

        if self.kind == "number":
            return []
        found = documents.where(F.col("label").isNotNull()).select("label").distinct()
        if self.kind == "several":
            pattern = "".join(rf"\x{{{ord(character):x}}}" for character in self.separator)
            found = found.select(F.explode(F.split("label", pattern)).alias("label")).where("label != ''").distinct()
        return sorted(row["label"] for row in found.limit(most + 1).collect())

    def to_shard(self, labels: pa.ChunkedArray, names: Sequence[str]) -> pa.Array | pa.ChunkedArray:
        """Labels as the shards' column for this kind; `names` are all there are, sorted."""
        field = LABEL_FIELDS[self.kind]
        if self.kind == "number":
            return pa.array([None if text is None else float(text) for text in labels.to_pylist()], field.type)
        known = pa.array(names, pa.string())
        if self.kind == "one":
            return pc.index_in(labels, value_set=known).cast(field.type)
        lists = self.split(labels)
        places = pc.index_in(lists.flatten(), value_set=known)
        is_name = places.is_valid().to_numpy(zero_copy_only=False)  # else it is what no names at all split into
        owner = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)[is_name]
        counts = np.bincount(owner, minlength=len(lists))
        offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
        return pa.ListArray.from_arrays(offsets, places.drop_null().cast(pa.int32()), mask=lists.is_null())

    def split(self, labels: pa.ChunkedArray) -> pa.ListArray:
        """The names in each label; one empty name where it holds none."""
        return pc.split_pattern(labels.combine_chunks(), pattern=self.separator)

    def _canonical(self, text: str) -> str:
        return self.separator.join(sorted({name.strip() for name in self._names(text)} - {""}))

    def _names(self, text: str) -> list[str]:
        return text.split(LIST_END)[:-1] if LIST_END in text else text.split(self.separator)

    def _split_problem(self, text: str, column: str | None) -> str | None:
        """A name in a list must not hold what stands between names in the shards."""
        for name in text.split(LIST_END)[:-1]:
            if self.separator in name:
                return (
                    f"{column!r} has {name[:_SHOWN_CHARACTERS]!r} in its list, which holds {self.separator!r}; set "
                    "preprocess.label_separator to what no name has"
                )
        return None


ONE_NAME = Labels()


def refuse_unlearnable(names: Sequence[str], documents: int, where: str) -> None:
    """Refuse labels that no classifier can learn, before hours are spent on them.

    Args:
        names: all different labels.
        documents: that have them.
        where: config, key and column, for the error.

    Raises:
        InputError: there is one label only, or they name documents and not classes.
    """
    if len(names) == 1:
        raise InputError(
            f"{where}: found the label {names[0]!r} in all documents, expected two or more; name another column, or "
            "add documents of another label"
        )
    if documents >= _LEAST_JUDGED and len(names) > _MOST_LABEL_SHARE * documents:
        raise InputError(
            f"{where}: found {len(names):,} different labels in {documents:,} documents, which looks like ids or "
            "texts; name another column, or set preprocess.labels=number and train.task=regression for amounts"
        )


def _of_each(values: pa.StringArray, function: Callable[[str], str | None]) -> pa.StringArray:
    """A function of strings, called once for each different one; nulls stay null."""
    encoded = values.dictionary_encode()
    found = pa.array([function(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return found.take(encoded.indices)


def _number_text(text: str) -> str | None:
    number = number_of(text)
    return None if number is None else repr(number)


def _a_list(column: str | None) -> str:
    return f"{column!r} is a list, expected one value; preprocess.labels=several reads lists"


def _problem(text: str, column: str | None) -> str | None:
    if LIST_END in text:
        return _a_list(column)
    if number_of(text) is not None or not text.strip():  # csv has no other way to say that there is none
        return None
    more = "..." if len(text) > _SHOWN_CHARACTERS else ""
    return f"{column!r} is {text[:_SHOWN_CHARACTERS]!r}{more}, expected a finite number"
