"""Settings of scoring: which inputs, by which model, what computes it, and what becomes of what is there already."""

from __future__ import annotations

import datetime
from typing import Any, Literal

from pydantic import field_validator, model_validator

from mapring.settings.answers import Answers
from mapring.settings.backends import EXACT_BACKENDS, BackendName
from mapring.settings.base import execution, output
from mapring.settings.inputs import (
    FOR_PREPROCESSING,
    Input,
    refuse_mixed_features,
    refuse_mixed_pairs,
    refuse_repeated_names,
    refuse_settings,
)


class Score(Answers):
    """New text to the scores table."""

    inputs: tuple[Input, ...] = output(description="The sources to score, one entry each.", min_length=1)
    groups: dict[str, tuple[str, ...]] = output(
        {},
        description="Whom texts are about, found by name: of each group the names that texts call it by. A text has a "
        "row for each group that it names, told in the column group, or one without; in place of group_column.",
        is_late=True,
    )
    max_quarantined_share: float = execution(
        0.05, description="Share of malformed or undecodable records above which the run fails.", ge=0, le=1
    )
    max_failed_share: float = execution(
        0.05, description="Share of texts that the model fails on above which the run fails.", ge=0, le=1
    )
    backend: Literal[BackendName, "auto"] = output(
        "torch",
        description="What computes: torch is the model as trained, in fp32 (ONNX Runtime where transformers does not "
        "load it); others are held against it first; auto takes the fastest that passes on this machine. All but torch "
        "only with models of task classify on single texts.",
    )
    min_agreement: float = output(
        0.995, description="Least share of validation rows to which another backend gives fp32's label.", ge=0, le=1
    )
    max_metric_loss: float = output(
        0.003, description="Most accuracy on validation rows that another backend may lose against fp32.", ge=0, le=1
    )
    ranker: bool = output(False, description="Fill the column rank_score by the ranker of these settings.")
    batch_tokens: int = execution(2048, description="Tokens of one padded batch in the model.", ge=16)
    rows_per_file: int = execution(65_536, description="Most rows in one file of the scores table.", ge=1)
    model: str | None = output(
        None,
        description="Fingerprint of the model in run_dir to score with; none is the one that these settings train.",
        pattern=r"^[0-9a-f]{16}$",
    )
    new_model: Literal["rescore", "new_rows"] = execution(
        "rescore",
        description="With another model than before: rescore all inputs, or use it for new_rows only, those of new "
        "and changed inputs.",
    )
    removed_inputs: Literal["keep", "drop"] = execution(
        "keep", description="Whether rows of inputs that are no longer there stay in the table."
    )
    since: str | None = execution(
        None,
        description="Only inputs last modified at or after this moment (ISO 8601, UTC if it names no zone) are scored.",
    )
    until: str | None = execution(
        None, description="Only inputs last modified before this moment (as since) are scored; with since, a backfill."
    )
    files_per_batch: int = execution(
        100,
        description="Most files of each input in one micro-batch, which is one commit, of the streaming form.",
        ge=1,
    )
    languages: bool = output(
        False,
        description="Fill the column language, so that its drift can be told; it costs 0.1 ms a text, or less.",
    )
    rescore: bool = execution(False, description="Score inputs again though the table has them as they are.")

    @field_validator("since", "until", mode="before")
    @classmethod
    def _moments_are_iso(cls, value: Any) -> Any:
        if isinstance(value, datetime.date):  # as YAML reads an unquoted date
            return value.isoformat()
        if isinstance(value, str):
            try:
                datetime.datetime.fromisoformat(value)
            except ValueError:
                raise ValueError(f"found {value!r}, expected a moment such as 2026-01-31 or 2026-01-31T06:00") from None
        return value

    @field_validator("groups")
    @classmethod
    def _groups_have_names(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for group, names in value.items():
            if not group.strip() or not names or not all(name.strip() for name in names):
                raise ValueError(f"found {group!r} with the names {list(names)}, expected a group and names of it")
        return {group.strip(): names for group, names in value.items()}

    @model_validator(mode="after")
    def _groups_come_from_one_place(self) -> Score:
        named = next((source for source in self.inputs if source.group_column is not None), None)
        if self.groups and named is not None:
            raise ValueError(
                f"groups: found them beside group_column={named.group_column!r} of the input {named.name!r}, expected "
                "one of the two, which both say whom a text is about; remove the other"
            )
        return self

    @model_validator(mode="after")
    def _inputs_are_sound(self) -> Score:
        refuse_repeated_names(self.inputs)
        refuse_mixed_pairs(self.inputs)
        refuse_mixed_features(self.inputs)
        refuse_settings("inputs", self.inputs, FOR_PREPROCESSING, "scoring")
        if self.retrieval is not None and self.retrieval.keep_in_scope is not None and self.mode != "answer":
            raise ValueError(
                f"retrieval.keep_in_scope: found {self.retrieval.keep_in_scope} with mode {self.mode}, expected mode "
                "answer, whose models have validation texts of their own; set abstain_below"
            )
        if self.mode == "answer" and self.backend not in EXACT_BACKENDS:
            raise ValueError(
                f"backend: found {self.backend} with mode answer, whose vectors must be those of the bank, expected "
                f"{', '.join(EXACT_BACKENDS)}"
            )
        return self
