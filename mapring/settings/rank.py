"""Settings of a ranking: which rows of the scores table are the first ones, of all or of each group."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from mapring.settings.base import Section, output


class Rank(Section):
    """The first rows of the scores table, sorted and without duplicates, for `mapring rank`."""

    by: str | None = output(
        None,
        description="Column of the scores table with the number that sorts: none is score, value or perplexity, "
        "whichever the mode has; the score of mode retrieve is a similarity.",
    )
    label: str | None = output(
        None, description="Label whose probability sorts, in place of a column; needs score.probabilities."
    )
    per: tuple[Literal["group", "source", "label"], ...] = output(
        (), description="Columns whose values are ranked apart from each other; none ranks all rows together."
    )
    top_k: int = output(
        1000, description="Most rows of the ranking, of each group where per names some.", ge=1, le=1_000_000
    )
    descending: bool = output(True, description="Whether the greatest number is the first.")
    one_per_text: bool = output(
        True,
        description="Whether of rows with equal texts only the first stays, with the number of those it stands for.",
    )

    @model_validator(mode="after")
    def _settings_fit(self) -> Rank:
        if self.by is not None and self.label is not None:
            raise ValueError(
                f"label: found {self.label!r} with by={self.by}; rows are sorted by one of them; remove one"
            )
        repeated = sorted({name for name in self.per if self.per.count(name) > 1})
        if repeated:
            raise ValueError(f"per: found {repeated[0]} twice, expected each column once; remove one")
        return self
