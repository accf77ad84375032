"""What a word is while a vocabulary is learned and whenever it is used: the two must agree.

Words are counted over whole Arrow batches with RE2; a trained tokenizer cuts texts with the same patterns,
which the `tokenizers` library runs. A test holds the two against each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from mapring.settings.tokenizer import TokenizerSource

SPACE = "\u2581"  # stands for a space, as in SentencePiece (Kudo and Richardson 2018)
_CUT = "\x1f"  # a control character, which no normalized text holds
HAN_RUN = r"\p{Han}+"
# Letters, up to three digits, or signs, each with the space before; a space or line break that stands alone.
PIECE = rf"{SPACE}?[\p{{L}}\p{{M}}]+|{SPACE}?\p{{N}}{{1,3}}|{SPACE}?[^\n{SPACE}\p{{L}}\p{{M}}\p{{N}}]+|{SPACE}|\n"
# BERT's tokenizer takes these out before it cuts (Devlin et al. 2019): joiners, soft hyphens, what has no meaning.
INVISIBLE = r"[\p{Cf}\p{Co}\x{FFFD}]"
PUNCTUATION = r"[\p{P}$+<=>^`|~]"  # each sign is a word of its own in WordPiece (Devlin et al. 2019)
_LONGEST = 64  # characters; scripts without spaces and encoded binaries would make words without end


def count_words(texts: pa.StringArray, source: TokenizerSource) -> Counter[str]:
    """How often each word is in these texts; what cannot be learned from (line breaks) is left out."""
    found = (_wordpiece_words if source.train == "wordpiece" else _pieces)(_cased(texts, source))
    values, counts = pc.value_counts(found).flatten()
    words: Counter[str] = Counter()
    for word, count in zip(values.to_pylist(), counts.to_pylist(), strict=True):
        for part in _parts(word):
            words[part] += count
    return words


def _cased(texts: pa.StringArray, source: TokenizerSource) -> pa.StringArray:
    if not source.lowercase:
        return texts
    # The one letter of which Unicode's full mapping, which tokenizers use, and the simple one of Arrow differ.
    return pc.utf8_lower(pc.replace_substring(texts, pattern="\u0130", replacement="i\u0307"))


def _pieces(texts: pa.StringArray) -> pa.StringArray:
    marked = pc.replace_substring(pc.binary_join_element_wise(SPACE, texts, ""), pattern=" ", replacement=SPACE)
    marked = pc.replace_substring_regex(marked, pattern=HAN_RUN, replacement=rf"{_CUT}\0{_CUT}")
    inside = PIECE.replace(r"[^\n", rf"[^\n{_CUT}")
    return _split(pc.replace_substring_regex(marked, pattern=inside, replacement=rf"\0{_CUT}"))


def _wordpiece_words(texts: pa.StringArray) -> pa.StringArray:
    seen = pc.replace_substring_regex(texts, pattern=INVISIBLE, replacement="")
    apart = pc.replace_substring_regex(seen, pattern=rf"{PUNCTUATION}|\p{{Han}}", replacement=rf"{_CUT}\0{_CUT}")
    return _split(pc.replace_substring_regex(apart, pattern=r"\s", replacement=_CUT))


def _split(texts: pa.StringArray) -> pa.StringArray:
    words = pc.list_flatten(pc.split_pattern(texts, pattern=_CUT))
    return words.filter(pc.not_equal(words, ""))


def _parts(word: str) -> Iterable[str]:
    """A word as it is; a run of Chinese as the words that a dictionary finds in it; overlong words in parts."""
    if word.isspace():
        return ()
    if _is_han(word[0]):
        import rjieba

        found: list[str] = rjieba.cut(word)
        return found
    return [word[start : start + _LONGEST] for start in range(0, len(word), _LONGEST)]


def _is_han(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff" or character >= "\U00020000"
