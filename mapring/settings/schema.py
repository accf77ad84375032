"""Every setting of mapring: type, range, meaning, unit, and whether it changes what is published.

One YAML file per pipeline, overridden by `KEY=VALUE` words.
"""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import model_validator

from mapring.settings.alerts import LEAST_WINDOWS, Alerts
from mapring.settings.backends import backend_refusal
from mapring.settings.base import Section, changed_settings, execution, output
from mapring.settings.combinations import answers_refusal, model_kind, scoring_refusal
from mapring.settings.dedup import Duplicates
from mapring.settings.filters import Filters
from mapring.settings.inputs import (
    FOR_SCORING,
    NOT_FOR_EVALUATION,
    Input,
    refuse_mixed_pairs,
    refuse_repeated_names,
    refuse_settings,
)
from mapring.settings.normalization import Normalization
from mapring.settings.rank import Rank
from mapring.settings.ranker import Ranker
from mapring.settings.recommend import PAIRS, RERANKER_TASKS, Recommend
from mapring.settings.retention import Retention
from mapring.settings.ring import Ring
from mapring.settings.schedule import Schedule
from mapring.settings.score import Score
from mapring.settings.spark import Spark
from mapring.settings.tokenizer import TokenizerSource
from mapring.settings.train import Train
from mapring.settings.tune import Tune, check_space
from mapring.settings.watch import Watch
from mapring.settings.words import Words


class Splits(Section):
    """Shares of the documents; what is left over is the training split."""

    validation: float = output(0.05, description="Share of documents for validation.", ge=0, le=0.5)
    test: float = output(0.10, description="Share of documents for the final test.", ge=0, le=0.5)
    overlap_length: int = output(
        13, description="Length of the n-grams by which the splits are compared; 0 compares nothing.", ge=0, le=64
    )
    overlap_unit: Literal["word", "character"] = output(
        "word", description="What those n-grams are made of; character for scripts without spaces."
    )


class Decontamination(Section):
    """Documents that share n-grams with the texts of evaluations are dropped; without inputs nothing is."""

    inputs: tuple[Input, ...] = output(
        (), description="The evaluation files, one entry each; their labels are not read."
    )
    unit: Literal["word", "character"] = output(
        "word", description="What an n-gram is made of; character for scripts without spaces."
    )
    length: int = output(
        13, description="Words or characters of one n-gram; a text that is shorter is compared whole.", ge=1, le=64
    )
    minimum_share: float = output(
        0.0,
        description="Share of a document's different n-grams that occur in evaluation texts, from which it is dropped; "
        "with 0 one is enough.",
        ge=0,
        le=1,
    )


class Preprocess(Section):
    """Raw text to published shards."""

    inputs: tuple[Input, ...] = output(description="The sources, one entry each.", min_length=1)
    max_quarantined_share: float = execution(
        0.05, description="Share of malformed or undecodable records above which the run fails.", ge=0, le=1
    )
    labels: Literal["one", "several", "number"] = output(
        "one", description="What label_column holds: a name, names joined by label_separator, or a number."
    )
    label_separator: str = output("|", description="What stands between names where there are several.", min_length=1)
    normalization: Normalization = output(Normalization(), description="What happens to the characters.")
    filters: Filters = output(Filters(), description="Rules that drop documents.")
    decontamination: Decontamination = output(Decontamination(), description="Removal of evaluation texts.")
    duplicates: Duplicates = output(Duplicates(), description="Removal of duplicates.")
    words: Words = output(Words(), description="Words and what is counted of them.")
    tokenizer: TokenizerSource | None = output(
        description="Directory of a tokenizer, or keys that train one; null publishes texts without tokens."
    )
    packing: Literal["none", "best_fit"] = output(
        "none", description="One document a row, or pieces of documents packed into full sequences for pretraining."
    )
    max_length: int = output(128, description="Longest sequence in tokens, special tokens included.", ge=8, le=131072)
    splits: Splits = output(Splits(), description="How documents are divided.")
    train_rows_per_label: int | None = output(
        None,
        description="Most documents of each label in the training split, to learn from few; the others stand in the "
        "ledger. None keeps all.",
        is_late=True,
        ge=1,
    )
    lanes: int = output(
        16, description="Independent streams per split; the ring can have up to this many ranks.", ge=1, le=4096
    )
    rows_per_shard: int = output(65536, description="Most rows in one shard file.", ge=1)
    rows_per_row_group: int = output(1024, description="Rows in one row group, the unit of reading.", ge=1)

    @model_validator(mode="after")
    def _parts_fit(self) -> Preprocess:
        refuse_repeated_names(self.inputs)
        refuse_mixed_pairs(self.inputs)
        refuse_settings("inputs", self.inputs, FOR_SCORING, "preprocessing")
        self._refuse_labels_that_are_not_read()
        if self.filters.c4_lines and not self.normalization.keep_lines:
            raise ValueError("filters.c4_lines: found true, but there are no lines; set normalization.keep_lines=true")
        refuse_repeated_names(self.decontamination.inputs)
        refuse_settings("decontamination.inputs", self.decontamination.inputs, NOT_FOR_EVALUATION, "decontamination")
        if all(source.split in ("validation", "test") for source in self.inputs):
            raise ValueError(
                "inputs: found only inputs with split validation or test, but nothing to train on; "
                "add an input without split, or with split=train"
            )
        if self.duplicates.parts.unit != "none" and not self.normalization.keep_lines:
            raise ValueError(
                f"duplicates.parts.unit: found {self.duplicates.parts.unit}, but there are no lines; "
                "set normalization.keep_lines=true"
            )
        if self.duplicates.parts.unit == "paragraph" and self.filters.c4_lines:
            raise ValueError(
                "duplicates.parts.unit: found paragraph with filters.c4_lines=true, which also drops the empty lines "
                "between paragraphs, as C4 does; set duplicates.parts.unit=line, or filters.c4_lines=false"
            )
        if self.duplicates.parts.unit != "none" and self.has_pairs:
            raise ValueError(
                f"duplicates.parts.unit: found {self.duplicates.parts.unit} with second_text_column, but of a pair "
                "parts cannot be removed; set duplicates.parts.unit=none"
            )
        self._refuse_what_packed_documents_have_not()
        if self.packing != "none" and self.tokenizer is None:
            raise ValueError(f"packing: found {self.packing} without a tokenizer; give one, or set packing=none")
        return self

    @property
    def has_pairs(self) -> bool:
        """Whether a document is a pair of texts; all inputs agree."""
        return self.inputs[0].second_text_column is not None

    def _refuse_labels_that_are_not_read(self) -> None:
        if self.labels != "one" and all(source.label_column is None for source in self.inputs):
            raise ValueError(
                f"labels: found {self.labels}, but no input has a label_column; name one, or remove this setting"
            )
        self._refuse_a_limit_without_labels()
        default = type(self).model_fields["label_separator"].default
        if self.labels != "several" and self.label_separator != default:
            raise ValueError(
                f"label_separator: found {self.label_separator!r} with labels={self.labels}, which does not use it; "
                "remove it, or set labels=several"
            )

    def _refuse_a_limit_without_labels(self) -> None:
        if self.train_rows_per_label is None:
            return
        if self.labels != "one" or all(source.label_column is None for source in self.inputs):
            found = "no label_column" if self.labels == "one" else f"labels={self.labels}"
            raise ValueError(
                f"train_rows_per_label: found {self.train_rows_per_label} with {found}, expected documents with one "
                "label each; remove it"
            )

    def _refuse_what_packed_documents_have_not(self) -> None:
        if self.packing != "none" and self.has_pairs:
            raise ValueError(
                f"inputs.0.second_text_column: found {self.inputs[0].second_text_column!r} with "
                f"packing={self.packing}, but a packed sequence has no pairs; remove it, or set packing=none"
            )
        weights = {source.weight for source in self.inputs}
        if self.packing != "none" and len(weights) > 1:
            raise ValueError(
                f"inputs: found weights {', '.join(map(str, sorted(weights)))} with packing={self.packing}, but a "
                "packed sequence has pieces of several sources; give all inputs one weight, or set packing=none"
            )
        for position, source in enumerate(self.inputs):
            if self.packing != "none" and source.label_column is not None:
                raise ValueError(
                    f"inputs.{position}.label_column: found {source.label_column!r} with packing={self.packing}, "
                    "but a packed sequence has no label; remove it, or set packing=none"
                )


class Settings(Section):
    """One pipeline."""

    name: str = execution(
        description="Name of the pipeline; with the model it names the scorings in the scores table.",
        pattern=r"^[A-Za-z0-9_.-]+$",
    )
    run_dir: str = execution(description="Directory of everything the pipeline makes; a local path or a URI.")
    seed: int = output(17, description="Seed of splits, shuffles, initialization and dropout.", ge=0, lt=2**31)
    preprocess: Preprocess = output(description="Raw text to shards.")
    train: Train = output(description="Shards to a model.")
    score: Score | None = output(None, description="New text to scores; without it a pipeline ends with the model.")
    rank: Rank | None = output(None, description="The first rows of the scores table, for `mapring rank`.")
    ranker: Ranker | None = output(None, description="What combines scores of texts with given numbers.")
    recommend: Recommend | None = output(None, description="What items users will like, for `mapring recommend`.")
    ring: Ring = execution(Ring(), description="How the ring is started.")
    spark: Spark = execution(Spark(), description="The Spark session.")
    tune: Tune = execution(Tune(), description="The search for hyperparameters.")
    retention: Retention = execution(Retention(), description="What `mapring vacuum` keeps.")
    schedule: Schedule | None = execution(None, description="When `mapring schedule` runs; a text is its cron.")
    watch: Watch = execution(Watch(), description="How scored rows are counted and watched for drift.")
    alerts: Alerts | None = execution(
        None, description="What `mapring alerts` seeks, and who is told; none seeks none."
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Settings:
        if self.train.robustness and self.preprocess.has_pairs:
            raise ValueError(
                "train.robustness: found true with preprocess.inputs.0.second_text_column, but texts are changed one "
                "at a time; remove it"
            )
        if self.train.task == "embed" and self.train.global_batch < 2 * self.preprocess.lanes:
            raise ValueError(
                f"train.global_batch: found {self.train.global_batch} with train.task=embed and "
                f"{self.preprocess.lanes} lanes, expected at least {2 * self.preprocess.lanes}: a pair is told "
                "from the others of its lane; raise it, or lower preprocess.lanes"
            )
        if self.train.global_batch % self.preprocess.lanes:
            raise ValueError(
                f"train.global_batch: found {self.train.global_batch}, "
                f"expected a multiple of preprocess.lanes ({self.preprocess.lanes})"
            )
        for name in ("ranks", "max_ranks"):
            found = getattr(self.ring, name)
            if found is not None and found > self.preprocess.lanes:
                raise ValueError(
                    f"ring.{name}: found {found}, expected at most preprocess.lanes ({self.preprocess.lanes})"
                )
        return self

    @model_validator(mode="after")
    def _score_is_what_the_model_gives(self) -> Settings:
        if self.score is None or self.score.model is not None:  # then that model's manifest tells, see Plan.score_mode
            return self
        train, score = self.train, self.score
        why = answers_refusal(train.task, score.mode, changed_settings(score))
        kind = model_kind(train.model.architecture)
        why = why or scoring_refusal(train.task, kind, train.method.name, score.mode, self.preprocess.has_pairs)
        why = why or backend_refusal(score.backend, train.task, self.preprocess.has_pairs)
        if why is not None:
            raise ValueError(f"score.{why}")
        given, expected = score.inputs[0].second_text_column, self.preprocess.has_pairs and train.task != "embed"
        if (given is not None) != expected:
            raise ValueError(
                f"score.inputs.0.second_text_column: found {given or 'none'!r} with train.task={train.task} on "
                f"{'pairs of' if self.preprocess.has_pairs else 'single'} texts, whose models read "
                f"{'pairs; name the second text' if expected else 'one text; remove it'}"
            )
        return self

    @model_validator(mode="after")
    def _surges_have_a_history(self) -> Settings:
        if self.alerts is None:
            return self
        needed = LEAST_WINDOWS * self.watch.window_length / datetime.timedelta(days=1)
        if self.alerts.surges.history_days < needed:
            raise ValueError(
                f"alerts.surges.history_days: found {self.alerts.surges.history_days:g}, expected at least {needed:g}, "
                f"{LEAST_WINDOWS} windows of watch.window={self.watch.window}; with fewer no window is ever judged"
            )
        return self

    @model_validator(mode="after")
    def _ranking_has_its_numbers(self) -> Settings:
        if self.rank is None:
            return self
        if self.score is None:
            raise ValueError("rank: found it in a pipeline without score; add what is to be scored, or remove it")
        if self.rank.label is not None and not self.score.probabilities:
            raise ValueError(
                f"rank.label: found {self.rank.label!r}, but its probability is not in the table; set "
                "score.probabilities=true"
            )
        return self

    @model_validator(mode="after")
    def _ranker_has_what_it_ranks(self) -> Settings:
        if self.ranker is None:
            if self.score is not None and self.score.ranker:
                raise ValueError("score.ranker: found true without a ranker; add the section ranker, or remove it")
            return self
        if self.score is None:
            raise ValueError("ranker: found it in a pipeline without score, whose answers it combines; add score")
        if self.score.ranker and self.score.new_model == "new_rows":
            raise ValueError(
                "score.new_model: found new_rows with score.ranker, but another model has another ranker, by which all "
                "rows are scored again; remove one"
            )
        learned, scored = self.ranker.inputs[0], self.score.inputs[0]
        if self.score.ranker and learned.feature_columns != scored.feature_columns:
            raise ValueError(
                f"score.inputs.0.feature_columns: found {list(scored.feature_columns)}, but the ranker learns from "
                f"{list(learned.feature_columns)}; name the same columns in the same order"
            )
        if (learned.second_text_column is None) != (scored.second_text_column is None):
            raise ValueError(
                f"ranker.inputs.0.second_text_column: found {learned.second_text_column or 'none'!r}, but score.inputs "
                f"have {scored.second_text_column or 'none'!r}; name a second text for both, or for none"
            )
        return self

    @model_validator(mode="after")
    def _pairs_come_from_somewhere(self) -> Settings:
        for position, source in enumerate(self.preprocess.inputs):
            if source.path == PAIRS and self.recommend is None:
                raise ValueError(
                    f"preprocess.inputs.{position}.path: found {PAIRS!r} without a section recommend, which tells what "
                    "pairs are made of; add it, or give a path"
                )
        return self

    @model_validator(mode="after")
    def _towers_learn_likes_alone(self) -> Settings:
        makes_pairs = any(one.path == PAIRS for one in self.preprocess.inputs)
        if self.recommend is not None and makes_pairs and self.train.task == "embed" and self.recommend.pair_negatives:
            raise ValueError(
                f"recommend.pair_negatives: found {self.recommend.pair_negatives} with train.task=embed, which draws "
                "the texts of every pair together, liked or not, and takes other rows of its batch for negatives; set "
                "it to 0"
            )
        return self

    @model_validator(mode="after")
    def _own_reranker_learns_likes_of_pairs(self) -> Settings:
        if self.recommend is None or not self.recommend.reranks_by_own_model:
            return self
        if self.train.task not in RERANKER_TASKS or not self.preprocess.has_pairs:
            what = "pairs" if self.preprocess.has_pairs else "single texts"
            raise ValueError(
                f"recommend.reranker.model: found none with train.task={self.train.task} on {what}, expected task "
                f"{' or '.join(RERANKER_TASKS)} on pairs; give the run directory of a pipeline that trains such a model"
            )
        if any(one.path == PAIRS for one in self.preprocess.inputs) and not self.recommend.pair_negatives:
            raise ValueError(
                "recommend.pair_negatives: found 0 with recommend.reranker, whose model must see items without a like, "
                "too; set it to 1 or more"
            )
        return self

    @model_validator(mode="after")
    def _schedule_has_something_to_run(self) -> Settings:
        if self.schedule is not None and self.schedule.command == "score" and self.score is None:
            raise ValueError(
                "schedule.command: found score in a pipeline without score; add what is to be scored, or set "
                "schedule.command=run"
            )
        return self

    @model_validator(mode="after")
    def _groups_are_given(self) -> Settings:
        named = self.score is not None and any(source.group_column is not None for source in self.score.inputs)
        if self.watch.by_group and not named and not (self.score is not None and self.score.groups):
            raise ValueError(
                "watch.by_group: found true, but no input of score.inputs names a group_column, and score.groups is "
                "empty; give one of them, or remove it"
            )
        return self

    @model_validator(mode="after")
    def _space_is_of_train(self) -> Settings:
        check_space(self.tune.space, Train)
        return self
