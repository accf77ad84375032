"""Settings of what is asked of a model: of a scoring, and of `mapring.predict_udf`."""

from __future__ import annotations

from pydantic import model_validator

from mapring.settings.base import Section, changed_settings, output
from mapring.settings.combinations import ModeName
from mapring.settings.draft import Draft
from mapring.settings.retrieval import Retrieval


class Generation(Section):
    """How a text is continued: in mode generate, and where a draft is asked for."""

    max_new_tokens: int = output(64, description="Most tokens that are added to a text.", ge=1, le=131072)
    stop: tuple[str, ...] = output(
        (), description="A continuation ends before the first of these strings; it also ends where the model says so."
    )
    temperature: float = output(
        0.0,
        description="0 takes the most probable token each time; above, tokens are drawn, their logits divided by it.",
        ge=0,
        le=100,
    )
    top_k: int = output(0, description="Tokens are drawn from this many most probable ones; 0 from all.", ge=0)
    top_p: float = output(
        1.0,
        description="Tokens are drawn from the fewest most probable ones that have this share.",
        gt=0,
        le=1,
    )
    seed: int = output(17, description="Seed of what is drawn, with the row's own text.", ge=0, lt=2**31)

    @model_validator(mode="after")
    def _settings_are_used(self) -> Generation:
        idle = [name for name in changed_settings(self) if name in ("top_k", "top_p", "seed")]
        if idle and self.temperature == 0:
            raise ValueError(
                f"{idle[0]}: found {getattr(self, idle[0])} with temperature 0, which draws nothing; set a "
                "temperature, or remove it"
            )
        if "" in self.stop:
            raise ValueError("stop: found an empty string, which stands before everything; remove it")
        return self


class Answers(Section):
    """What is asked of a model."""

    mode: ModeName | None = output(
        None,
        description="What the model is to give; none is what its task is for, with clm the perplexity of texts, in "
        "place of which they can be continued: generate. With embed texts can be answered from a bank: retrieve; with "
        "classify they get a label and are answered from a bank: answer.",
    )
    probabilities: bool = output(False, description="Fill the column with the probabilities of all labels.")
    top_k: int = output(0, description="Labels in the column top, the most probable first; 0 leaves it empty.", ge=0)
    abstain_below: float = output(
        0.0,
        description="Calibrated probability below which a classifier's label is withheld; 0 withholds none.",
        ge=0,
        le=1,
    )
    explain_share: float = output(
        0.0, description="Share of the rows, chosen by their ids, that are explained token by token.", ge=0, le=1
    )
    generation: Generation = output(Generation(), description="How texts are continued.")
    retrieval: Retrieval | None = output(None, description="The bank of templates that texts are answered from.")
    draft: Draft | None = output(
        None, description="A decoder that drafts an answer where one was found in the bank.", is_late=True
    )

    @model_validator(mode="after")
    def _fields_of_the_prompt_are_there(self) -> Answers:
        if self.draft is None or self.retrieval is None or self.mode != "retrieve":
            return self
        bare = [source.name for source in self.retrieval.bank if source.label_column is None]
        if bare and "label" in self.draft.template.fields:
            raise ValueError(
                f"draft.prompt: found {{label}} with mode retrieve, but the templates {bare[0]} have no label_column; "
                "name it, or remove the field"
            )
        return self
