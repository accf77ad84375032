"""Settings of the tokenizer: a given directory, or one that is trained on the corpus."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from mapring.settings.base import Section, execution, output

Training = Literal["bpe", "unigram", "wordpiece"]
Template = Literal["cls_sep", "eos", "bos_eos", "none"]


BERT_NAMES = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
TEXT_NAMES = {"pad": "<pad>", "unk": "<unk>", "bos": "<s>", "eos": "</s>", "mask": "<mask>"}
BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))
_TAKEN = frozenset([*BERT_NAMES.values(), *TEXT_NAMES.values(), *BYTE_TOKENS])


class TokenizerSource(Section):
    """Either a directory, or the way to train one; a plain text instead of keys is a directory."""

    text_key = "directory"

    directory: str | None = execution(
        None,
        description="Directory with a tokenizer.json, published model, run directory with one model, or "
        "package://NAME/PATH; its content counts, not its place.",
    )
    train: Training | None = output(None, description="Train a tokenizer of this kind on the training split.")
    vocabulary_size: int = output(32_000, description="Most tokens, special ones included.", ge=64, le=1_000_000)
    character_coverage: float = output(
        0.9995, description="Share of the corpus's characters that get tokens of their own.", gt=0.9, le=1
    )
    byte_fallback: bool = output(
        False, description="Spell other characters in 256 byte tokens instead of one unknown token (not wordpiece)."
    )
    lowercase: bool = output(False, description="Lower the case of texts before they are tokenized.")
    template: Template = output(
        "cls_sep", description="Special tokens around a text: [CLS] and [SEP], </s> behind it, <s> and </s>, or none."
    )
    reserved_tokens: tuple[str, ...] = output((), description="Further special tokens, never made from other text.")
    most_words: int = output(
        2_000_000, description="Most different words to learn from; the rarest beyond are cut off.", ge=1, le=20_000_000
    )

    @field_validator("reserved_tokens")
    @classmethod
    def _are_tokens_of_their_own(cls, tokens: tuple[str, ...]) -> tuple[str, ...]:
        """One that is something else as well would have two ids, or leave a hole among them."""
        for place, token in enumerate(tokens):
            if not token.strip():
                raise ValueError(f"found {token!r}, which is no word; remove it")
            if token in _TAKEN:
                raise ValueError(f"found {token!r}, which tokenizers have anyway; remove it")
            if token in tokens[:place]:
                raise ValueError(f"found {token!r} twice; give each once")
        return tokens

    @model_validator(mode="after")
    def _either_given_or_trained(self) -> TokenizerSource:
        if (self.directory is None) == (self.train is None):
            found = "neither directory nor train" if self.train is None else "both directory and train"
            raise ValueError(f"found {found}, expected one of them")
        beside = sorted(self.model_fields_set - {"directory", "train"})
        if self.train is None and beside:
            raise ValueError(f"found {beside[0]} beside directory, which only training uses; remove it")
        if self.train == "wordpiece" and self.byte_fallback:
            raise ValueError("found byte_fallback with train=wordpiece, which has no byte tokens; use bpe or unigram")
        return self
