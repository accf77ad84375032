"""Equal texts, which are computed once: the different ones among many, and where each row finds its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Distinct(NamedTuple):
    """Each text once, in the order in which they first come, and for each row the place of its text among them."""

    texts: list[str]
    places: list[int]


def distinct_texts(texts: Sequence[str]) -> Distinct:
    """The different ones of these texts."""
    known: dict[str, int] = {}
    places = [known.setdefault(text, len(known)) for text in texts]
    return Distinct(list(known), places)
