"""Texts as they are compared: lower-case words with one space between them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NOT_A_WORD = r"[^\p{L}\p{M}\p{N}]+"
_SPACE = ord(" ")
_ASCII_WORDS = bytes(
    ord(character.lower()) if character.isalnum() else _SPACE for character in map(chr, range(128))
) + bytes([_SPACE] * 128)  # what becomes of each byte; those over 127 do not occur


def canonical(texts: pa.StringArray) -> pa.StringArray:
    """Texts without nulls in lower case, with one space for every run of other than letters and digits."""
    plain = pc.string_is_ascii(texts)
    if pc.all(plain).as_py():
        return _of_ascii(texts)
    other = pc.invert(plain)
    found = _of_ascii(pc.if_else(plain, texts, ""))
    return pc.replace_with_mask(found, other, _of_any(texts.filter(other)))


def _of_any(texts: pa.StringArray) -> pa.StringArray:
    spaced = pc.replace_substring_regex(pc.utf8_lower(texts), pattern=_NOT_A_WORD, replacement=" ")
    return pc.utf8_trim_whitespace(spaced)


def _of_ascii(texts: pa.StringArray) -> pa.StringArray:
    """The same for ASCII, byte by byte: in a tenth of the regular expression's time, and most texts are ASCII."""
    if not len(texts):
        return texts
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    content = bytes(memoryview(texts.buffers()[2] or b"")[offsets[0] : offsets[-1]])
    found = np.frombuffer(content.translate(_ASCII_WORDS), np.uint8)
    starts = (offsets - offsets[0])[:-1][np.diff(offsets) > 0]  # of the texts that are not empty
    word = found != _SPACE
    keep = word.copy()
    keep[1:] |= word[:-1]  # the first space after a word
    keep[starts] = word[starts]  # but none at the beginning of a text
    ends = np.concatenate([[0], np.cumsum(keep, dtype=np.int32)])[offsets - offsets[0]].astype(np.int32)
    buffers = [pa.py_buffer(ends.tobytes()), pa.py_buffer(found[keep].tobytes())]
    return pc.ascii_rtrim_whitespace(pa.StringArray.from_buffers(len(texts), *buffers))
