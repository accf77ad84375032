"""Text to words, for whatever looks at bags of words: counts, TF-IDF, the vocabulary of a small model.

Nothing here changes a text that is kept. Arrow in, Arrow out; a step looks at each *different* word of a batch
once, so no Python loop over words.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapring.settings.words import Words

# RE2 classes. The words of the filters' measures have the same characters, but are cut at every odd apostrophe.
_BETWEEN = r"[^\p{L}\p{M}\p{N}_']+"
_WORD = r"[\p{L}\p{N}]"


def words(texts: pa.StringArray, settings: Words) -> pa.ListArray:
    """The words of each text in order, as lists of dictionary-encoded strings; a null text has none.

    The order is fixed here and nowhere else: lower case, apostrophes (U+2019 to U+0027), segmentation, apostrophes
    at the ends of words, pieces without letter or digit, short words, stop words (in any case).
    """
    texts = pc.fill_null(texts, "")
    if settings.lowercase:
        texts = pc.utf8_lower(texts)
    texts = pc.replace_substring(texts, "\u2019", "'")
    pieces = _SEGMENTERS[settings.segmenter](texts)
    flat = pieces.values.dictionary_encode()
    trimmed = pc.utf8_trim(flat.dictionary, "'").dictionary_encode()  # two pieces may become one word
    codes = _numbers(trimmed.indices)[_numbers(flat.indices)]
    return _filtered(trimmed.dictionary, codes, _numbers(pieces.offsets), settings)


def _filtered(unique: pa.StringArray, codes: np.ndarray, offsets: np.ndarray, settings: Words) -> pa.ListArray:
    """Leave out what is no word, is too short, or is a stop word; on different words, then on occurrences."""
    wanted = pc.match_substring_regex(unique, _WORD)
    if settings.minimum_length > 1:
        wanted = pc.and_(wanted, pc.greater_equal(pc.utf8_length(unique), settings.minimum_length))
    if settings.stop_words:
        wanted = pc.and_(wanted, pc.invert(pc.is_in(pc.utf8_lower(unique), stop_words(settings.stop_words))))
    keep = wanted.to_numpy(zero_copy_only=False)
    new_codes = np.cumsum(keep, dtype=np.int32) - np.int32(1)
    kept = keep[codes]
    before = np.concatenate([[0], np.cumsum(kept, dtype=np.int32)]).astype(np.int32)
    values = pa.DictionaryArray.from_arrays(pa.array(new_codes[codes[kept]], pa.int32()), unique.filter(wanted))
    return pa.ListArray.from_arrays(pa.array(before[offsets], pa.int32()), values)


@cache
def stop_words(languages: tuple[str, ...]) -> pa.StringArray:
    """The stop words of some languages (stopwords-iso), sorted, in lower case and NFC."""
    from stopwordsiso import stopwords

    found = pc.utf8_lower(pc.utf8_normalize(pa.array(sorted(stopwords(list(languages))), pa.string()), form="NFC"))
    return found.unique().sort()


def _runs(texts: pa.StringArray) -> pa.ListArray:
    """Runs of letters, marks, digits, underscores and apostrophes."""
    return pc.split_pattern(pc.replace_substring_regex(texts, _BETWEEN, " "), " ")


def _chinese(texts: pa.StringArray) -> pa.ListArray:
    """Words of jieba's dictionary, new ones by its hidden Markov model; runs of other letters stay whole."""
    from rjieba import cut

    return pa.array([cut(text) for text in texts.to_pylist()], pa.list_(pa.string()))


_SEGMENTERS = {"unicode": _runs, "chinese": _chinese}


def _numbers(array: pa.Array) -> np.ndarray:
    return np.asarray(array.to_numpy(zero_copy_only=False))
