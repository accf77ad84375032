"""Settings of the ranker: what it learns to combine a text's scores with given numbers from, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from mapring.settings.base import Section, output
from mapring.settings.inputs import (
    Input,
    refuse_mixed_features,
    refuse_mixed_pairs,
    refuse_repeated_names,
    refuse_settings,
)

Objective = Literal["lambdarank", "binary", "regression"]


class TreeFit(Section):
    """How gradient-boosted trees are fitted, and when there are enough."""

    rounds: int = output(500, description="Most trees.", ge=1, le=100_000)
    early_stopping: int = output(30, description="Trees without a gain on held-out groups after which it ends.", ge=1)
    held_out: float = output(
        0.2, description="Share of the groups, chosen by their hash, that are held out.", gt=0, le=0.5
    )
    learning_rate: float = output(0.05, description="Share of each tree that counts.", gt=0, le=1)
    leaves: int = output(31, description="Most leaves of a tree.", ge=2, le=1024)
    rows_per_leaf: int = output(20, description="Fewest training rows in a leaf.", ge=1)


class Ranker(TreeFit):
    """Gradient-boosted trees over what the model says of a text and the numbers that come with it."""

    inputs: tuple[Input, ...] = output(
        description="The rows to learn from, one entry for each source, with label_column (a number), feature_columns "
        "and, for lambdarank, group_column.",
        min_length=1,
    )
    objective: Objective = output(
        "lambdarank",
        description="What is learned: the order of the rows of a group by relevance (whole numbers from 0 to 30), the "
        "probability of 1 among 0 and 1, or a number.",
    )
    label: str | None = output(
        None,
        description="Label whose probability is the score of the text alone, with which the ranker is compared; none "
        "is the model's last. Of models without labels it is their number or similarity.",
    )

    @model_validator(mode="after")
    def _inputs_are_sound(self) -> Ranker:
        refuse_repeated_names(self.inputs)
        refuse_mixed_pairs(self.inputs)
        refuse_mixed_features(self.inputs)
        refuse_settings("inputs", self.inputs, ("time_column", "split", "weight"), "ranker")
        if self.objective != "lambdarank" and len({source.group_column is None for source in self.inputs}) > 1:
            raise ValueError(
                "inputs: found some with group_column and some without; rows are held out by group or one by one: name "
                "a column for all, or for none"
            )
        needed = ["label_column", *(["group_column"] if self.objective == "lambdarank" else [])]
        for position, source in enumerate(self.inputs):
            for name in needed:
                if getattr(source, name) is None:
                    raise ValueError(
                        f"inputs.{position}.{name}: found none with objective={self.objective}, expected a column; "
                        "name it"
                    )
        return self
