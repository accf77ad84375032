"""Settings of retrieval: the bank of templates, and which of them answer a text."""

from __future__ import annotations

from pydantic import model_validator

from mapring.settings.base import Section, output
from mapring.settings.inputs import NOT_FOR_EVALUATION, Input, refuse_repeated_names, refuse_settings

MOST_ANSWERS = 100  # up to there the recall of an index is measured


class Retrieval(Section):
    """The nearest answers of a bank of templates, by the inner product of embeddings; for modes retrieve and answer."""

    bank: tuple[Input, ...] = output(
        description="The templates, one entry for each source: id_column names them (their doc_id where it is none), "
        "label_column, where there is one, fills the column label.",
        min_length=1,
    )
    top_k: int = output(5, description="Templates in the column answers, the nearest first.", ge=1, le=MOST_ANSWERS)
    abstain_below: float = output(
        -1.0, description="Cosine similarity below which the answer is withheld; -1 withholds none.", ge=-1, le=1
    )
    keep_in_scope: float | None = output(
        None,
        description="Share of the validation texts that keep their label and answer; the similarity below which both "
        "are withheld is chosen by it. Only for mode answer; none leaves it to abstain_below.",
        is_late=True,
        gt=0,
        le=1,
    )
    library_above: int = output(
        1_000_000,
        description="Different templates above which they are searched by an index of the library faiss "
        "(mapring[faiss]) in place of exactly.",
        ge=1,
    )
    min_recall: float = output(
        0.99, description="Least share of the true nearest templates that such an index must find.", ge=0, le=1
    )

    @model_validator(mode="after")
    def _bank_is_sound(self) -> Retrieval:
        refuse_repeated_names(self.bank)
        refuse_settings("bank", self.bank, ("second_text_column", *NOT_FOR_EVALUATION), "retrieval")
        if self.keep_in_scope is not None and self.abstain_below > -1:
            raise ValueError(
                f"keep_in_scope: found {self.keep_in_scope} with abstain_below={self.abstain_below}, expected one of "
                "the two, which both say what is withheld; remove the other"
            )
        return self
