"""Training rows changed by whole words: some left out, some swapped, ends cut off (Wei and Zou 2019).

A change is a pure function of (seed, epoch, document id, row), so it is the same on any number of ranks and after a
resume. Special tokens stay where they are between the words, words of a pair's two texts stay apart, and a text that
has words keeps one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from transformers.convert_slow_tokenizer import bytes_to_unicode

from mapring.perturbation import is_spaceless
from mapring.settings.augmentation import Augmentation
from training.reader import NO_PAIR, Batch
from training.row_randomness import random_bits
from training.rows import Booleans, Ids

_PURPOSE = 1
_WORD_PIECE, _SENTENCE_PIECE, _BYTE_LEVEL = "##", "▁", "Ġ"
_BYTES = {sign: byte for byte, sign in bytes_to_unicode().items()}  # as GPT-2 writes bytes in its vocabulary
_CHINESE_FIRST_BYTES = [bytes([byte]) for byte in range(0xE3, 0xEA)]  # from U+3000 to U+9FFF, Kana among them
_SPARE_BITS = np.uint64(11)  # of 64, beyond what a float holds


class Changed(NamedTuple):
    """Ids of a row, (T,) int32, and where its second text begins, NO_PAIR where it has none."""

    input_ids: Ids
    second_start: int


@dataclass(frozen=True)
class Augmenter:
    """Changes rows.

    Args:
        settings: shares of words.
        starts_word: for each token id, whether a word begins with it, shape (vocabulary,).
        is_special: for each token id, whether it is no word and stays.
        seed: of the random choices.
    """

    settings: Augmentation
    starts_word: Booleans
    is_special: Booleans
    seed: int

    def __call__(self, batch: Batch, epoch: int) -> Batch:
        """The same rows with some of their words left out or swapped."""
        changed = [
            self.change(ids, second_start, doc_id, epoch)
            for ids, second_start, doc_id in zip(
                batch.input_ids, batch.second_starts.tolist(), batch.doc_ids, strict=True
            )
        ]
        return Batch(
            doc_ids=batch.doc_ids,
            input_ids=[row.input_ids for row in changed],
            label_ids=batch.label_ids,
            global_rows=batch.global_rows,
            texts=batch.texts,
            starts=batch.starts,
            label_sets=batch.label_sets,
            targets=batch.targets,
            second_starts=np.array([row.second_start for row in changed], np.int64),
            is_labelled=batch.is_labelled,
            lane_rows=batch.lane_rows,
        )

    def change(self, ids: Ids, second_start: int, doc_id: str, epoch: int) -> Changed:
        """Change one row."""
        parts = [ids] if second_start == NO_PAIR else [ids[:second_start], ids[second_start:]]
        found = [self._change_part(part, doc_id, epoch, number) for number, part in enumerate(parts)]
        return Changed(np.concatenate(found), NO_PAIR if second_start == NO_PAIR else len(found[0]))

    def _change_part(self, ids: Ids, doc_id: str, epoch: int, number: int) -> Ids:
        """Change one text: crop its words, drop some of what is left, and swap some of those that stay."""
        slots, places = self._slots(ids)
        count = len(places)
        if count < 2:
            return ids
        bits = random_bits(2 * count + 4, self.seed, epoch, doc_id, _PURPOSE, number)
        chances = (bits[:4] >> _SPARE_BITS) * 2.0**-53  # in [0, 1), float64
        drop_order, swap_order = np.split(bits[4:], 2)
        settings = self.settings
        cut = min(_rounded(settings.crop * count, chances[0]), count - 1)
        begin = int(chances[1] * (cut + 1))
        kept = np.zeros(count, bool)
        kept[begin : begin + count - cut] = True
        left = np.flatnonzero(kept)
        dropped = min(_rounded(settings.drop_words * len(left), chances[2]), len(left) - 1)
        kept[left[np.argsort(drop_order[left], kind="stable")[:dropped]]] = False
        left = np.flatnonzero(kept)
        pairs = min(_rounded(settings.swap_words * len(left) / 2, chances[3]), len(left) // 2)
        order = np.arange(count)
        swapped = left[np.argsort(swap_order[left], kind="stable")[: 2 * pairs]]
        order[swapped[:pairs]], order[swapped[pairs:]] = swapped[pairs:], swapped[:pairs]
        words = [slots[place] for place in places]
        for word, place in enumerate(places):
            slots[place] = words[order[word]] if kept[word] else ids[:0]
        return np.concatenate(slots)

    def _slots(self, ids: Ids) -> tuple[list[Ids], list[int]]:
        """The row cut into words and special tokens, and the places of the words among them."""
        special = self.is_special[ids]
        begins = self.starts_word[ids] | special
        begins[1:] |= special[:-1]
        begins[:1] = True
        bounds = np.flatnonzero(begins)
        return np.split(ids, bounds[1:]), np.flatnonzero(~special[bounds]).tolist() if len(ids) else []


def word_starts(vocabulary: Mapping[str, int]) -> Booleans:
    """For each token id whether a word begins with it: what marks words is told by what most tokens are marked with.

    WordPiece marks what continues a word, sentencepiece and byte-level tokenizers what begins one; of Chinese and other
    scripts without spaces they mark next to nothing, so there each token begins a word. Where nothing is marked, every
    token is a word.
    """
    marks = Counter(
        mark
        for token in vocabulary
        for mark in (_WORD_PIECE, _SENTENCE_PIECE, _BYTE_LEVEL)
        if token.startswith(mark) and token != mark
    )
    found = np.ones(max(vocabulary.values(), default=-1) + 1, bool)
    if not marks:
        return found
    mark = max(marks, key=lambda name: (marks[name], name))
    for token, number in vocabulary.items():
        is_marked = token.startswith(mark)
        if mark == _WORD_PIECE:
            found[number] = token == mark or not is_marked
        else:
            found[number] = is_marked or (
                _is_spaceless_of_bytes(token) if mark == _BYTE_LEVEL else is_spaceless(token[:1])
            )
    return found


def _is_spaceless_of_bytes(token: str) -> bool:
    """Whether a byte-level token begins with a character of a script without spaces, or with the first byte of one."""
    content = bytes(_BYTES[sign] for sign in token if sign in _BYTES)
    text = content.decode("utf-8", "ignore")
    if text and content.startswith(text[0].encode()):
        return is_spaceless(text[0])
    return content[:1] in _CHINESE_FIRST_BYTES


def ids_to_mask(ids: Collection[int], size: int) -> Booleans:
    """For each of `size` ids whether it is one of these."""
    mask = np.zeros(size, bool)
    mask[sorted(ids)] = True
    return mask


def _rounded(expected: float, chance: np.float64 | npt.NDArray[np.float64]) -> int:
    """A whole number next to `expected`, which is its mean over chances: short rows are changed sometimes."""
    return int(expected + float(chance))
