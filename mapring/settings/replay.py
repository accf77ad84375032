"""Settings of what a training takes from an earlier corpus, so that what was learned of it is not forgotten."""

from __future__ import annotations

from pydantic import model_validator

from mapring.settings.base import Section, output


class Replay(Section):
    """Rows of an earlier corpus among the new ones, and how much is forgotten of it; plain text is its shards."""

    text_key = "shards"

    shards: str | None = output(
        None,
        description="Published shards directory of an earlier corpus; its content counts, not its place. The model is "
        "evaluated on its test split before and after the training.",
    )
    share: float = output(
        0.2,
        description="Older rows of each step as a share of global_batch, rounded to whole stripes of the older lanes, "
        "but never to none; they come on top of the new rows. 0 replays nothing and only measures.",
        ge=0,
        le=1,
    )

    @model_validator(mode="after")
    def _share_is_of_shards(self) -> Replay:
        if self.shards is None and "share" in self.model_fields_set:
            raise ValueError(f"found share {self.share:g} without shards; set replay.shards, or remove it")
        return self
