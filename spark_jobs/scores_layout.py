"""Which rows of which inputs make one file of the scores table.

Small inputs are put together whole, large ones are cut by a hash of their texts. So most files are of one
input, which Delta's log then tells without a file being read, and a changed input touches few files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """The files that an input's rows are in, by number: `files` of them, from `first` on."""

    first: int
    files: int


def lay_out(rows: Mapping[tuple[str, str], int], rows_per_file: int) -> dict[tuple[str, str], Place]:
    """Places of inputs, by source and path, with about `rows_per_file` rows in a file.

    Every file is either of whole inputs, which have at most `rows_per_file` rows together, or a part of one input.
    """
    places: dict[tuple[str, str], Place] = {}
    next_file, together = 0, 0  # rows of the small inputs that are in file `next_file - 1`; 0 where it is not theirs
    for key in sorted(rows):
        count = rows[key]
        if count > rows_per_file:
            files = -(-count // rows_per_file)
            places[key] = Place(next_file, files)
            next_file, together = next_file + files, 0
            continue
        if not together or together + count > rows_per_file:
            next_file, together = next_file + 1, 0
        places[key] = Place(next_file - 1, 1)
        together += count
    return places


def file_count(places: Mapping[tuple[str, str], Place]) -> int:
    """How many files there are."""
    return max((place.first + place.files for place in places.values()), default=0)
