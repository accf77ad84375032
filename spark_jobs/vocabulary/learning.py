"""Word counts to a vocabulary: SentencePiece learns BPE and unigram, `tokenizers` learns WordPiece.

Both get the counts in one canonical order and run on one thread, so equal counts give equal vocabularies. Counts
that are too many for the trainer's memory are scaled down in that order, too.
"""

from __future__ import annotations

import io
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mapring.errors import InputError
from mapring.settings.tokenizer import TokenizerSource

_EXPANDED_WORDS = 20_000_000  # what WordPiece counts again; SentencePiece takes the counts themselves
_LINE_WORDS = 1000
UNIGRAM_WORDS = 5_000_000  # SentencePiece's unigram trainer holds each word as often as it is counted, 140 bytes a time
_SENTENCEPIECE: Mapping[str, Any] = {
    "hard_vocab_limit": False,  # a small corpus has fewer pieces
    "normalization_rule_name": "identity",  # texts are normalized, and words have their space
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "split_by_unicode_script": False,  # words are cut before they are counted
    "split_by_number": False,
    "shuffle_input_sentence": False,
    "num_threads": 1,
    "bos_id": -1,
    "eos_id": -1,
    "minloglevel": 3,
}


def learn_pieces(counts: Mapping[str, int], source: TokenizerSource, size: int) -> list[tuple[str, float]]:
    """At most `size` pieces with their scores, in the order of SentencePiece's ids.

    Raises:
        InputError: the vocabulary is too small for the characters of the corpus.
    """
    from sentencepiece import SentencePieceProcessor

    found = SentencePieceProcessor(model_proto=train_sentencepiece(counts, source, size))
    return [(found.id_to_piece(index), found.get_score(index)) for index in range(1, found.get_piece_size())]


def train_sentencepiece(counts: Mapping[str, int], source: TokenizerSource, size: int) -> bytes:
    """A SentencePiece model (Kudo and Richardson 2018) of at most `size` pieces and its unknown token, as protobuf.

    Raises:
        InputError: the vocabulary is too small for the characters of the corpus.
    """
    characters = covered_characters(counts, source.character_coverage)
    needed = source.vocabulary_size - size + len(characters)
    if needed > source.vocabulary_size:  # SentencePiece would leave characters out in silence
        raise InputError(_too_small(source.vocabulary_size, needed))
    from sentencepiece import SentencePieceTrainer

    learned_from, coverage, total = counts, source.character_coverage, scaled_to(counts, source)
    if total is not None:
        learned_from, coverage = _scaled(counts, characters, total), 1.0
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "words.tsv")
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{word}\t{learned_from[word]}\n" for word in _canonical(learned_from))
        try:
            SentencePieceTrainer.train(
                input=str(path),
                input_format="tsv",
                model_writer=model,
                model_type=source.train,
                vocab_size=max(1, size + 1),
                character_coverage=coverage,
                **_SENTENCEPIECE,
            )
        except RuntimeError as error:
            raise InputError(
                f"preprocess.tokenizer: SentencePiece cannot learn from these words: {str(error).splitlines()[0]}"
            ) from None
    return model.getvalue()


def learn_wordpieces(counts: Mapping[str, int], source: TokenizerSource, special: Sequence[str]) -> list[str]:
    """A WordPiece vocabulary in order of its ids: special tokens, characters, then what was merged.

    `tokenizers` numbers what it meets in the order of a randomly seeded hash table, and ties between merges
    are broken by these numbers. So all characters get theirs beforehand, here.

    Raises:
        InputError: the vocabulary is too small for the characters of the corpus.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    alphabet = covered_characters(counts, source.character_coverage)
    first = [*special, *alphabet, *(f"##{character}" for character in alphabet)]
    if len(first) > source.vocabulary_size:
        raise InputError(_too_small(source.vocabulary_size, len(first)))
    known = set(alphabet)
    usable = {word: count for word, count in counts.items() if known.issuperset(word)}
    trainer = trainers.WordPieceTrainer(
        vocab_size=source.vocabulary_size, min_frequency=2, special_tokens=first, show_progress=False
    )
    tokenizer = Tokenizer(models.WordPiece(unk_token=special[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(expand(usable), trainer)
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=lambda token: vocabulary[token])


def covered_characters(counts: Mapping[str, int], coverage: float) -> list[str]:
    """The most frequent characters that make up this share of all, in order of their code points."""
    found: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            found[character] += count
    wanted, reached, kept = math.ceil(found.total() * coverage), 0, []
    for character, count in sorted(found.items(), key=lambda item: (-item[1], item[0])):
        if reached >= wanted:
            break
        kept.append(character)
        reached += count
    return sorted(kept)


def scaled_to(counts: Mapping[str, int], source: TokenizerSource) -> int | None:
    """The sum that the counts are scaled down to before they are learned from; None where they are few enough."""
    return UNIGRAM_WORDS if source.train == "unigram" and sum(counts.values()) > UNIGRAM_WORDS else None


def _scaled(counts: Mapping[str, int], characters: Sequence[str], total: int) -> Mapping[str, int]:
    """Scaled counts of the same words, cut at other characters than these; each of these is in at least one word.

    SentencePiece finds its characters in what it is given: so those that the true counts cover are all that is given.
    (Its `required_chars` leaves out the ones that do not occur once the others reach the coverage.)
    """
    known = set(characters)
    cut: Counter[str] = Counter()
    for word, count in counts.items():
        for part in [word] if known.issuperset(word) else _runs_of(known, word):
            cut[part] += count
    scaled = scale(cut, total)
    missing = known.difference(*scaled)
    return {**scaled, **dict.fromkeys(missing, 1)}


def _runs_of(known: set[str], word: str) -> list[str]:
    cut = "".join(character if character in known else "\n" for character in word)
    return [run for run in cut.split("\n") if run]


def scale(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """Whole counts in proportion to these, which sum up to `total`; each is its share rounded up or down.

    Running sums are rounded and not single counts: rare words stay as a share of all, where rounding
    each would drop them all or double them.
    """
    of, before, scaled = sum(counts.values()), 0, {}
    for word in _canonical(counts):
        after = before + counts[word]
        if share := after * total // of - before * total // of:
            scaled[word] = share
        before = after
    return scaled


def expand(counts: Mapping[str, int], most: int = _EXPANDED_WORDS) -> Iterator[str]:
    """Lines in which each word stands as often as it was counted, scaled down to about `most` words in all."""
    divisor = max(1, -(-sum(counts.values()) // most))
    for word in _canonical(counts):
        left = -(-counts[word] // divisor)
        while left > 0:
            yield " ".join([word] * min(left, _LINE_WORDS))
            left -= _LINE_WORDS


def _canonical(counts: Mapping[str, int]) -> list[str]:
    """The words by falling count, equal counts by the word: what is trained from must not hang on a dict's order."""
    return sorted(counts, key=lambda word: (-counts[word], word))


def _too_small(found: int, needed: int) -> str:
    return (
        f"preprocess.tokenizer.vocabulary_size: found {found}, expected at least {needed} for the characters of this "
        "corpus; raise it, or lower character_coverage"
    )
