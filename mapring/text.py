"""The only text code: what happens to a document's characters, and how they become token ids.

Preprocessing, training and scoring all call these functions, so a model never sees text that was
treated otherwise in production than in training. Arrow in, Arrow out; no Python loop over
characters.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapring.pairs import split_pair
from mapring.redaction import redact
from mapring.settings.normalization import Normalization

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# RE2 classes. Control characters (category Cc) except tab, line breaks and U+0085, and the byte order mark, vanish.
_VANISHING = "[\\x00-\\x08\\x0e-\\x1f\\x7f\u0080-\u0084\u0086-\u009f\ufeff]"
_WHITE_SPACE = "[\\s\\x0b\u0085\\p{Z}]+"
# What is not one space already: any other white space, or a second space. To look for it costs a tenth of replacing.
_UNTIDY = "[\\t\\n\\x0b\\f\\r\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]|  "
_LINE_BREAK = "\r\n|[\r\x0b\x0c\u0085\u2028\u2029]"
_TEXTS_AT_ONCE = 256  # encodings of thousands of texts at once cost a tenth more time, in memory that is not cached
_CHARACTERS_A_TOKEN = 64  # many more than words have, so that the cut is far behind the last token that is kept
_LONGEST_WORD = 65_536
_SPACE = re.compile(r"\s")
_SPACES = "[\\t \\p{Zs}]+"
# What misdecoded UTF-8 leaves behind: without one of these characters there is nothing to repair.
_SUSPECT = "[\u00a0-\u00ff\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122\ufffd]"


def normalize(texts: pa.StringArray, settings: Normalization) -> pa.StringArray:
    """Normalize documents; nulls stay null. Idempotent, except that unescaping works one level a call.

    The order is fixed here and nowhere else: mojibake, HTML entities, Unicode form, control characters
    (category Cc, without tab and line breaks; U+FEFF as well), case, white space, personal data.
    """
    if settings.fix_mojibake:
        texts = _fix_mojibake(texts)
    if settings.unescape_html:
        texts = pa.array([None if text is None else html.unescape(text) for text in texts.to_pylist()], pa.string())
    texts = pc.utf8_normalize(texts, form=settings.unicode_form)
    changed = _replace(texts, _VANISHING, "", where=_VANISHING)
    if settings.lowercase:
        changed = pc.utf8_lower(changed)
    if changed is not texts:  # what stood apart, or was a capital, may now have a form of its own
        changed = pc.utf8_normalize(changed, form=settings.unicode_form)
    texts = changed
    texts = _keep_lines(texts) if settings.keep_lines else _one_line(texts)
    return redact(texts, settings.redact)


def _one_line(texts: pa.StringArray) -> pa.StringArray:
    return pc.utf8_trim_whitespace(_replace(texts, _WHITE_SPACE, " ", where=_UNTIDY))


def _replace(texts: pa.StringArray, pattern: str, replacement: str, *, where: str) -> pa.StringArray:
    """Replace a pattern in those texts that match `where`: the few in which there is something to replace."""
    found = pc.fill_null(pc.match_substring_regex(texts, where), False)
    if not pc.any(found).as_py():
        return texts
    replaced = pc.replace_substring_regex(texts.filter(found), pattern=pattern, replacement=replacement)
    return pc.replace_with_mask(texts, found, replaced)


def _keep_lines(texts: pa.StringArray) -> pa.StringArray:
    """Every line break is one newline; lines are trimmed, and at most one empty line stands between two."""
    texts = pc.replace_substring_regex(texts, pattern=_LINE_BREAK, replacement="\n")
    texts = pc.replace_substring_regex(texts, pattern=_SPACES, replacement=" ")
    texts = pc.replace_substring_regex(texts, pattern=" ?\n ?", replacement="\n")
    texts = pc.replace_substring_regex(texts, pattern="\n{3,}", replacement="\n\n")
    return pc.utf8_trim_whitespace(texts)


def _fix_mojibake(texts: pa.StringArray) -> pa.StringArray:
    """Repair with ftfy (Speer 2019), only where a text holds what misdecoding leaves."""
    from ftfy import fix_encoding

    suspects = pc.fill_null(pc.match_substring_regex(texts, _SUSPECT), False)
    fixed = pa.array([fix_encoding(text) for text in texts.filter(suspects).to_pylist()], texts.type)
    return pc.replace_with_mask(texts, suspects, fixed)


class EncodedPairs(NamedTuple):
    """Token ids of each pair, and where in them the second text's begin; their number where it has no token."""

    ids: list[list[int]]
    second_starts: list[int]


class Encoder:
    """Text to token ids with a directory's `tokenizer.json`; truncates to `max_length` if given, never pads."""

    def __init__(self, directory: str | Path, max_length: int | None) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads deadlock after a fork
        from tokenizers import Tokenizer

        self._max_length = max_length
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(Path(directory, "tokenizer.json")))
        if max_length is None:
            self._tokenizer.no_truncation()
        else:
            self._tokenizer.enable_truncation(max_length)
        self._tokenizer.no_padding()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, at most `max_length` long.

        Of a text much longer than that only a beginning is tokenized, up to white space: the tokens of 100 MB take
        14 GB, and all but the first few would be cut off.
        """
        beginnings = [self._beginning(text) for text in texts]
        found = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(beginnings)]
        for index, (text, beginning) in enumerate(zip(texts, beginnings, strict=True)):
            if len(beginning) < len(text) and len(found[index]) < (self._max_length or 0):  # of signs that vanish
                found[index] = self._tokenizer.encode(text).ids
        return found

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> EncodedPairs:
        """Token ids of each pair of texts in the tokenizer's own form for pairs, such as `[CLS] a [SEP] b [SEP]`.

        Where they are longer than `max_length`, the longer text is cut first, as the library does. Of texts much longer
        than that only beginnings are tokenized, as `encode` does; of two such texts either may have the odd token.
        """
        beginnings = [(self._beginning(first), self._beginning(second)) for first, second in pairs]
        ids, second_starts = [], []
        encodings = self._uncut.encode_batch_fast(beginnings)
        for pair, beginning, encoding in zip(pairs, beginnings, encodings, strict=True):
            texts = encoding.sequence_ids  # 0 and 1, None for special tokens
            is_cut = (len(part) < len(text) for text, part in zip(pair, beginning, strict=True))
            if any(cut and texts.count(text) < (self._max_length or 0) for text, cut in enumerate(is_cut)):
                encoding = self._uncut.encode(*pair)  # the beginning was of signs that vanish
                texts = encoding.sequence_ids
            kept = self._kept_of_pair(texts)
            ids.append(encoding.ids if kept is None else [encoding.ids[place] for place in kept])
            texts = texts if kept is None else [texts[place] for place in kept]
            second_starts.append(texts.index(1) if 1 in texts else len(texts))
        return EncodedPairs(ids, second_starts)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of the tokens that the tokenizer puts around texts and between those of a pair."""
        return frozenset([*self._uncut.encode("").ids, *self._uncut.encode("", "").ids])

    @cached_property
    def unknown_id(self) -> int | None:
        """Id of the token that stands for what the vocabulary has not; None where it can write everything."""
        model = json.loads(self._tokenizer.to_str())["model"]
        if model["type"] == "Unigram":
            found: int | None = model["unk_id"]
            return found
        unknown = model.get("unk_token")
        return None if unknown is None else self._tokenizer.token_to_id(unknown)

    def token(self, token_id: int) -> str:
        """A token as the vocabulary writes it."""
        return self._tokenizer.id_to_token(token_id) or ""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        return self._tokenizer.decode(list(ids))

    @cached_property
    def _uncut(self) -> Tokenizer:
        """A tokenizer that does not truncate: what it cuts off of two texts it would keep in all combinations."""
        found = type(self._tokenizer).from_str(self._tokenizer.to_str())
        found.no_truncation()
        return found

    def _kept_of_pair(self, texts: list[int | None]) -> list[int] | None:
        """Places of the tokens that are kept, by the text that each is of; None where all are."""
        if self._max_length is None or len(texts) <= self._max_length:
            return None
        counts = [texts.count(0), texts.count(1)]
        room = self._max_length - (len(texts) - sum(counts))
        shorter = min(*counts, room // 2)
        most = (room - shorter, shorter) if counts[0] > counts[1] else (shorter, room - shorter)
        places: list[list[int]] = [[], []]
        for place, text in enumerate(texts):
            if text is not None:
                places[text].append(place)
        special = [place for place, text in enumerate(texts) if text is None]
        return sorted([*special, *places[0][: most[0]], *places[1][: most[1]]])

    def _beginning(self, text: str) -> str:
        """What of a text surely holds its first `max_length` tokens, as words and numbers are."""
        most = len(text) if self._max_length is None else self._max_length * _CHARACTERS_A_TOKEN
        if len(text) <= most + _LONGEST_WORD:
            return text
        space = _SPACE.search(text, most, most + _LONGEST_WORD)
        return text[: space.start() if space else most + _LONGEST_WORD]

    def encode_arrow(self, texts: pa.StringArray | pa.ChunkedArray) -> pa.ListArray:
        """As `encode`, from and to Arrow (list<int32>); in small steps, since encodings are large."""
        return _lists(
            self.encode(texts.slice(start, _TEXTS_AT_ONCE).to_pylist())
            for start in range(0, len(texts), _TEXTS_AT_ONCE)
        )

    def encode_pairs_arrow(self, pairs: pa.StringArray | pa.ChunkedArray) -> tuple[pa.ListArray, pa.Int32Array]:
        """As `encode_pairs`, from pairs that `mapring.pairs` has joined: ids (list<int32>) and second starts."""
        second_starts: list[int] = []

        def steps() -> Iterator[list[list[int]]]:
            for start in range(0, len(pairs), _TEXTS_AT_ONCE):
                found = self.encode_pairs([split_pair(pair) for pair in pairs.slice(start, _TEXTS_AT_ONCE).to_pylist()])
                second_starts.extend(found.second_starts)
                yield found.ids

        return _lists(steps()), pa.array(second_starts, pa.int32())


def _lists(steps: Iterable[list[list[int]]]) -> pa.ListArray:
    """Lists of ids, a few hundred at a time, as one list<int32>."""
    lengths, ids = [], []
    for found in steps:
        lengths.append(np.fromiter(map(len, found), np.int64, len(found)))
        ids.append(np.fromiter(chain.from_iterable(found), np.int32, int(lengths[-1].sum())))
    offsets = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]))
    flat = np.concatenate([np.zeros(0, np.int32), *ids])
    return pa.ListArray.from_arrays(pa.array(offsets).cast(pa.int32()), flat)
