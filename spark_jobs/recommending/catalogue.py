"""What items say: words of their texts, tags, and vectors where a model gave some. None of it hangs on behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.sparse as sparse

from mapring.settings.words import Words
from mapring.words import words
from spark_jobs.recommending.events import Floats, Ints


@dataclass(frozen=True)
class Catalogue:
    """`words` are TF-IDF rows of length 1 (items, words), `tags` is 1 where an item has a tag (items, tags), `vectors`
    are the model's of the items' texts (items, width), None without a model.
    """

    words: sparse.csr_matrix
    tags: sparse.csr_matrix
    vectors: npt.NDArray[np.float32] | None = None

    def likeness(self, items: Ints) -> Floats:
        """Cosine of words of all items with each of some, (all items, len(items))."""
        found: Floats = (self.words @ self.words[items].T).toarray()
        return found


def make_catalogue(
    texts: Sequence[str],
    tags: Sequence[Sequence[str]],
    vectors: npt.NDArray[np.float32] | None = None,
    settings: Words | None = None,
) -> Catalogue:
    """The catalogue of items with these texts and tags; `settings` tell what a word is."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    whole = [f"{text} {' '.join(own)}" for text, own in zip(texts, tags, strict=True)]
    parted = words(pa.array(whole, pa.string()), settings or Words()).to_pylist()
    try:
        weights = TfidfVectorizer(analyzer=list, sublinear_tf=True).fit_transform(parted).tocsr()
    except ValueError:  # not one word in all texts
        weights = sparse.csr_matrix((len(whole), 1))
    names = sorted({name for own in tags for name in own})
    place = {name: number for number, name in enumerate(names)}
    rows = np.repeat(np.arange(len(whole)), [len(own) for own in tags])
    columns = np.array([place[name] for own in tags for name in own], np.int64)
    held = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(whole), max(1, len(names))))
    return Catalogue(weights, held, vectors)


def item_text(text: str, tags: Sequence[str]) -> str:
    """An item as a model reads it."""
    return f"{text}: {', '.join(tags)}" if tags else text


def user_text(texts: Sequence[str], liked: Sequence[int]) -> str:
    """A user as a model reads one: what was liked, the latest first."""
    return "; ".join(texts[item] for item in reversed(liked))
