"""A vocabulary to the files of a fast tokenizer, which `tokenizers` and transformers' AutoTokenizer load."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from mapring.settings.tokenizer import BERT_NAMES, BYTE_TOKENS, TEXT_NAMES, TokenizerSource
from spark_jobs.vocabulary.learning import learn_pieces, learn_wordpieces
from spark_jobs.vocabulary.words import HAN_RUN, PIECE, SPACE

_LINE_BREAK = "\n"  # never learned, since it ends a word; always a token, since lines may be kept


def train_tokenizer(counts: Mapping[str, int], source: TokenizerSource) -> dict[str, bytes]:
    """The files of a tokenizer trained on these words; equal counts and settings give equal bytes.

    Raises:
        InputError: the vocabulary is too small for the characters of the corpus.
    """
    names = BERT_NAMES if source.template == "cls_sep" else TEXT_NAMES
    special = [*names.values(), *source.reserved_tokens]
    if source.train == "wordpiece":
        tokenizer = _wordpiece(learn_wordpieces(counts, source, special), source)
    else:
        fixed = [*special, _LINE_BREAK, *(BYTE_TOKENS if source.byte_fallback else ())]
        learned = learn_pieces(counts, source, source.vocabulary_size - len(fixed))
        taken = set(fixed)
        tokenizer = _pieces(fixed, [item for item in learned if item[0] not in taken], source, names["unk"])
    _add_template(tokenizer, source, names)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **{f"{name}_token": token for name, token in names.items()},
        **({"additional_special_tokens": list(source.reserved_tokens)} if source.reserved_tokens else {}),
    }
    return {
        "tokenizer.json": tokenizer.to_str(pretty=True).encode(),
        "tokenizer_config.json": json.dumps(config, indent=2, ensure_ascii=False).encode() + b"\n",
    }


def _wordpiece(vocabulary: Sequence[str], source: TokenizerSource) -> Tokenizer:
    """As BERT cuts texts: at spaces, at every sign, and around every Chinese character; accents stay."""
    numbered = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(numbered, unk_token=vocabulary[1], max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=source.lowercase
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    return tokenizer


def _pieces(
    fixed: Sequence[str], learned: Sequence[tuple[str, float]], source: TokenizerSource, unknown: str
) -> Tokenizer:
    model: models.BPE | models.Unigram
    if source.train == "bpe":
        model = _bpe([*fixed, *(piece for piece, _ in learned)], len(fixed), source, unknown)
    else:
        lowest = min((score for _, score in learned), default=0.0)
        scored = [*((token, lowest) for token in fixed), *learned]
        model = models.Unigram(scored, unk_id=fixed.index(unknown), byte_fallback=source.byte_fallback)
    tokenizer = Tokenizer(model)
    steps = [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]
    tokenizer.normalizer = normalizers.Sequence([*([normalizers.Lowercase()] if source.lowercase else []), *steps])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(HAN_RUN), "isolated"), pre_tokenizers.Split(Regex(PIECE), "isolated")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def _bpe(vocabulary: Sequence[str], learned_from: int, source: TokenizerSource, unknown: str) -> models.BPE:
    """SentencePiece merges the pair whose union has the best score; here pairs are ranked by their union."""
    numbered = {token: index for index, token in enumerate(vocabulary)}
    merges = []
    for piece in vocabulary[learned_from:]:
        cuts = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        pairs = [pair for pair in cuts if pair[0] in numbered and pair[1] in numbered]
        merges.extend(sorted(pairs, key=lambda pair: (numbered[pair[0]], numbered[pair[1]])))
    return models.BPE(numbered, merges, unk_token=unknown, fuse_unk=True, byte_fallback=source.byte_fallback)


def _add_template(tokenizer: Tokenizer, source: TokenizerSource, names: Mapping[str, str]) -> None:
    before, after = {
        "cls_sep": (names.get("cls"), names.get("sep")),
        "eos": (None, names.get("eos")),
        "bos_eos": (names.get("bos"), names.get("eos")),
        "none": (None, None),
    }[source.template]
    used = [token for token in (before, after) if token]
    if not used:
        return
    single = [*([before] if before else []), "$A", *([after] if after else [])]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join(single),
        pair=" ".join([*single, "$B:1", *([f"{after}:1"] if after else [])]),
        special_tokens=[(token, _id(tokenizer, token)) for token in used],
    )


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    assert found is not None, f"{token} is not in the vocabulary that was built with it"
    return found
