"""Which of two duplicates stays, before any chance: the order of the classes of documents.

Documents of earlier corpora are published already and stay in any case. Then come those that the settings put in
the test split, then in the validation split, then all others: an official test file stays whole, and what it shares
with the training text is taken from the training text. Documents that a hash puts in a split are of the last class,
for preferring them would let the small splits grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column

EARLIER, GIVEN_TEST, GIVEN_VALIDATION, NEW = b"\0", b"\1", b"\2", b"\3"  # compared as bytes, the first one stays


def class_of_new(given_split: Column) -> Column:
    """The class of documents of this corpus, from the split that the settings give them, or null."""
    test, validation, other = (F.lit(bytearray(value)) for value in (GIVEN_TEST, GIVEN_VALIDATION, NEW))
    return F.when(given_split == "test", test).when(given_split == "validation", validation).otherwise(other)
