"""Settings of recommendations: what users did, what items say, and how an order of the items is learned from both."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from mapring.settings.base import Section, execution, output
from mapring.settings.inputs import Encoding, Input, Separator, separator_refusal
from mapring.settings.ranker import TreeFit

PAIRS = "pairs:"  # path of an input that stands for the pairs that `mapring pairs` publishes
RERANKER_TASKS = ("classify", "regression")  # of models whose answer to a pair is a number
Table = Literal["csv", "tsv", "jsonl", "parquet"]
Evidence = Literal["behaviour", "text"]


class _Files(Section):
    """Where a table is, and how it is written."""

    path: str = execution(description="File, directory or glob, local or a URI.")
    format: Table = output(description="How the files are written; all but parquet may be compressed.")
    encoding: Encoding = output("utf-8", description="Character encoding of the files.", is_late=True)
    separator: Separator = output(",", description="What stands between the fields of a csv.", is_late=True)

    @model_validator(mode="after")
    def _separator_fits(self) -> _Files:
        wrong = separator_refusal(self.format, self.separator, self.encoding)
        if wrong is not None:
            raise ValueError(wrong)
        return self


class Interactions(_Files):
    """What users did: a row for each user, item and time."""

    user_column: str = output(description="Field with the user.")
    item_column: str = output(description="Field with the item.")
    time_column: str = output(description="Field with the moment: ISO 8601, or seconds since 1970.")
    rating_column: str | None = output(
        None, description="Field with a number that tells how much it was liked; without it all interactions are likes."
    )

    @property
    def as_input(self) -> Input:
        """The same as an input that the readers know: the item is its text, the user its group."""
        return Input(
            name="interactions",
            path=self.path,
            format=self.format,
            encoding=self.encoding,
            separator=self.separator,
            text_column=self.item_column,
            id_column=self.item_column,
            group_column=self.user_column,
            time_column=self.time_column,
            feature_columns=() if self.rating_column is None else (self.rating_column,),
        )


class Items(_Files):
    """What items say: a row for each."""

    id_column: str = output(description="Field with the item, as interactions name it.")
    text_column: str = output("text", description="Field with its title or text.")
    description_column: str | None = output(None, description="Field with more text.")
    tags_column: str | None = output(None, description="Field with its tags, such as genres.")
    tags_separator: str = output("|", description="What stands between two tags.", min_length=1)

    @property
    def as_input(self) -> Input:
        """The same as an input that the readers know: description and tags are carried as they stand."""
        more = dict.fromkeys(name for name in (self.description_column, self.tags_column) if name is not None)
        return Input(
            name="items",
            path=self.path,
            format=self.format,
            encoding=self.encoding,
            separator=self.separator,
            text_column=self.text_column,
            id_column=self.id_column,
            feature_columns=tuple(more),
        )


class RecommendTrees(TreeFit):
    """The trees that order items."""

    learning_rate: float = output(0.05, description="Share of each tree that counts.", gt=0, le=1)
    leaves: int = output(7, description="Most leaves of a tree.", ge=2, le=1024)
    rows_per_leaf: int = output(100, description="Fewest training rows in a leaf.", ge=1)


class Reranker(Section):
    """A model that reads the texts of user and item together (a cross-encoder), for the first items of each list."""

    text_key: ClassVar[str | None] = "model"

    model: str | None = output(
        None,
        description="Published model of task classify or regression on pairs of texts, or a run directory with one; "
        "none is the pipeline's own. In place of the section its model alone may stand.",
    )
    label: str = output(
        "liked", description="Label whose probability is what it says; of a model of task regression its number is."
    )
    candidates: int = output(
        30, description="Items that it reads for each moment, the first by the ranker.", ge=2, le=1000
    )
    max_failed_share: float = execution(
        0.05, description="Share of pairs of texts that the model fails on above which the run fails.", ge=0, le=1
    )


class Recommend(Section):
    """From what users did and what items say to the items that each user will like next."""

    interactions: Interactions = output(description="What users did.")
    items: Items = output(description="What items say; interactions with others are left out and counted.")
    liked_from: float = output(4.0, description="Least rating that is a like.", allow_inf_nan=False)
    model_share: float = output(
        0.4,
        description="Share of the interactions, the earliest, that teach the model of texts; what it learns from, the "
        "ranker does not.",
        ge=0,
        lt=1,
    )
    test_share: float = output(
        0.3,
        description="Share of the interactions, the latest, that test; the ranker learns from those between.",
        gt=0,
        lt=1,
    )
    refresh_hours: float = output(
        24.0,
        description="Hours between two counts of what all users did; what others did since the last one is not known. "
        "0 counts up to each moment, which takes longer.",
        ge=0,
        allow_inf_nan=False,
    )
    evidence: tuple[Evidence, ...] = output(
        ("behaviour", "text"), description="What the ranker sees: counts of what users did, words and tags of items.",
        min_length=1,
    )  # fmt: skip
    model: bool = output(
        True, description="Whether it also sees how near the texts of user and item are to the trained model."
    )
    reranker: Reranker | None = output(
        None,
        description="A model that reads the texts of user and item together, and by which the first items are put in a "
        "new order.",
        is_late=True,
    )
    candidates: int = output(
        100, description="Items that each way of finding some proposes; the ranker orders these.", ge=1, le=1000
    )
    negatives: int = output(
        100,
        description="Items without a like for each moment that the ranker learns from, drawn from its candidates by "
        "their popularity.",
        ge=1,
        le=5000,
    )
    most_moments: int = output(
        20_000, description="Most moments that the ranker learns from, drawn evenly by the seed.", ge=2, le=1_000_000
    )
    pairs_per_user: int = output(
        50, description="Most pairs of texts for each user that the model learns from, the latest.", ge=1
    )
    pair_negatives: int = output(
        0,
        description="Items without a like for each pair, by popularity, for a model that tells likes (task classify); "
        "0 for a model of task embed.",
        ge=0,
        le=100,
    )
    trees: RecommendTrees = output(RecommendTrees(), description="The trees that order items.")
    top_k: int = output(10, description="Items of each user's list.", ge=1, le=1000)
    max_quarantined_share: float = execution(
        0.05, description="Share of records that cannot be read above which the run fails.", ge=0, le=1
    )
    max_failed_share: float = execution(
        0.05, description="Share of texts that the model fails on above which the run fails.", ge=0, le=1
    )
    batch_tokens: int = execution(2048, description="Tokens of one padded batch in a model.", ge=16)

    @model_validator(mode="after")
    def _parts_of_time_are_sound(self) -> Recommend:
        if self.model_share + self.test_share >= 1:
            raise ValueError(
                f"test_share: found {self.test_share:g} beside model_share={self.model_share:g}, which leaves nothing "
                "that the ranker learns from; lower one"
            )
        repeated = sorted({name for name in self.evidence if self.evidence.count(name) > 1})
        if repeated:
            raise ValueError(f"evidence: found {repeated[0]} twice, expected each once; remove one")
        return self

    @property
    def reranks_by_own_model(self) -> bool:
        """Whether the pipeline's own model is the one that reads pairs."""
        return self.reranker is not None and self.reranker.model is None

    @model_validator(mode="after")
    def _the_one_model_has_one_use(self) -> Recommend:
        if self.model and self.reranks_by_own_model:
            raise ValueError(
                "reranker.model: found none beside model=true, but the pipeline's own model tells how near texts are; "
                "give the run directory of a pipeline that trains one on pairs, or set recommend.model=false"
            )
        return self
