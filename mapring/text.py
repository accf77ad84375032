"""The only text code: what happens to a document's characters, and how they become token ids.

Preprocessing, training and scoring all call these functions, so a model never sees text that was
treated otherwise in production than in training. Arrow in, Arrow out; no Python loop over
characters.
"""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# RE2 classes. Control characters (category Cc) except tab, line breaks and U+0085, and the byte order mark, vanish.
_VANISHING = "[\\x00-\\x08\\x0e-\\x1f\\x7f\u0080-\u0084\u0086-\u009f\ufeff]"
_WHITE_SPACE = "[\\s\\x0b\u0085\\p{Z}]+"


def normalize(texts: pa.StringArray, *, unicode_form: Literal["NFC", "NFKC"], unescape_html: bool) -> pa.StringArray:
    """Normalize documents; nulls stay null. Idempotent, except that unescaping works one level a call.

    The order is fixed here and nowhere else: HTML entities, Unicode form, control characters
    (category Cc, without tab and line breaks, which become spaces; U+FEFF as well), runs of white
    space to one space, trim.
    """
    if unescape_html:
        texts = pa.array([None if text is None else html.unescape(text) for text in texts.to_pylist()], pa.string())
    texts = pc.utf8_normalize(texts, form=unicode_form)
    texts = pc.replace_substring_regex(texts, pattern=_VANISHING, replacement="")
    texts = pc.replace_substring_regex(texts, pattern=_WHITE_SPACE, replacement=" ")
    return pc.utf8_trim_whitespace(texts)


class Encoder:
    """Text to token ids with a directory's `tokenizer.json`; truncates, never pads."""

    def __init__(self, directory: str | Path, max_length: int) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads deadlock after a fork
        from tokenizers import Tokenizer

        self.max_length = max_length
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(Path(directory, "tokenizer.json")))
        self._tokenizer.enable_truncation(max_length)
        self._tokenizer.no_padding()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, at most `max_length` long."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
