"""The plan of one pipeline: its settings, checked against the world, and the place of every output.

Everything a user can get wrong outside the YAML's own shape is found here, before Spark or the
ring is started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mapring import lineage, storage
from mapring.base_model import decoder_directory
from mapring.care.forgotten import Exclusion, ForgottenDocument, exclusion, place_digest, read_forgotten
from mapring.columns import check_columns
from mapring.contract import is_published, read_manifest
from mapring.errors import MapringError, SettingsError, StageError
from mapring.lineage import SourceFile
from mapring.named_directories import (
    check_earlier,
    check_model_directory,
    check_replay,
    check_teacher,
    decoder_named,
    reranker_named,
)
from mapring.run_directory import RunDirectory
from mapring.settings import Input, Settings, load_settings
from mapring.settings.base import changed_settings
from mapring.settings.combinations import ModeName, answers_refusal, chosen_mode
from mapring.settings.recommend import PAIRS, Recommend
from mapring.settings.score import Score


@dataclass(frozen=True)
class Plan:
    """What a pipeline reads and where its stages publish.

    `evaluation_sources` are the files that the corpus is kept clean of. `shards` and `model` are the fingerprints of
    what the first two stages publish; `score_settings` has that of what shapes the scores of each source;
    `bank_sources` are the files of templates that texts are answered from, `ranker_sources` those that a ranker learns
    from, and `ranker` is its fingerprint, None where there is none; `decoder` is that of who writes drafts.
    `interaction_sources` and `item_sources` are what is recommended from, `pairs`, `recommender` and `recommendations`
    the fingerprints of what is made of them, and `named_reranker` is the directory of the model, of another pipeline,
    that puts their first items in a new order. Of `is_part` the `score_sources` are only some of the inputs, those of a
    micro-batch. `forgotten` are documents that no stage may publish again.
    """

    config: str
    overrides: tuple[str, ...]
    settings: Settings
    run: RunDirectory
    preprocess_sources: tuple[SourceFile, ...]
    evaluation_sources: tuple[SourceFile, ...]
    score_sources: tuple[SourceFile, ...]
    shards: str
    model: str
    score_settings: Mapping[str, str]
    bank_sources: tuple[SourceFile, ...] = ()
    ranker_sources: tuple[SourceFile, ...] = ()
    ranker: str | None = None
    decoder: str | None = None
    interaction_sources: tuple[SourceFile, ...] = ()
    item_sources: tuple[SourceFile, ...] = ()
    pairs: str | None = None
    recommender: str | None = None
    recommendations: str | None = None
    named_reranker: str | None = None
    is_part: bool = False
    forgotten: tuple[ForgottenDocument, ...] = ()

    @property
    def scoring(self) -> Score:
        """What to score. Raises SettingsError where the pipeline ends with its model."""
        if self.settings.score is None:
            raise SettingsError(f"{self.config}: score: is missing; add what is to be scored")
        return self.settings.score

    @property
    def recommending(self) -> Recommend:
        """What to recommend. Raises SettingsError where the pipeline recommends nothing."""
        if self.settings.recommend is None:
            raise SettingsError(f"{self.config}: recommend: is missing; add interactions and items")
        return self.settings.recommend

    @property
    def awaits_pairs(self) -> bool:
        """Whether the corpus is made of pairs that are not there yet; then `shards` and `model` are not yet known."""
        is_asked = any(source.path == PAIRS for source in self.settings.preprocess.inputs)
        return is_asked and self.pairs is not None and not is_published(self.pairs_directory)

    @property
    def pairs_directory(self) -> str:
        """Where pairs of texts are published."""
        return self.run.pairs(str(self.pairs))

    @property
    def recommender_directory(self) -> str:
        """Where the ranker of items is published."""
        return self.run.ranker(str(self.recommender))

    @property
    def reranker_directory(self) -> str | None:
        """Where the model is published that reads the texts of user and item together; None without one."""
        return self.model_directory if self.recommending.reranks_by_own_model else self.named_reranker

    @property
    def recommendations_directory(self) -> str:
        """Where the users' lists are published."""
        return self.run.recommendations(str(self.recommendations))

    @property
    def left_out_of_corpus(self) -> Exclusion:
        """What preprocessing leaves out."""
        return _left_out(self.preprocess_sources, [one for one in self.forgotten if one.of_corpus])

    @property
    def left_out_of_scores(self) -> Exclusion:
        """What scoring leaves out."""
        return _left_out(self.score_sources, self.forgotten)

    @property
    def shards_directory(self) -> str:
        """Where the shards are published."""
        return self.run.shards(self.shards)

    @property
    def training_directory(self) -> str:
        """Where checkpoints and metrics are kept."""
        return self.run.training(self.model)

    @property
    def model_directory(self) -> str:
        """Where the model is published."""
        return self.run.model(self.model)

    @property
    def scoring_model(self) -> str:
        """Fingerprint of the model to score with. Raises SettingsError where nothing is to be scored."""
        return self.scoring.model or self.model

    @property
    def score_mode(self) -> ModeName:
        """What the model to score with gives; of another one than that of these settings its manifest tells its task.

        Raises:
            PublishedError: that model is not published.
            SettingsError: it gives no such answers.
        """
        model, task = self.scoring.model, self.settings.train.task
        if model is not None:
            task = read_manifest(self.run.model(model)).details["task"]
        why = answers_refusal(task, self.scoring.mode, changed_settings(self.scoring))
        if why is not None:
            raise SettingsError(f"{self.config}: score.{why}")
        return chosen_mode(task, self.scoring.mode)

    @property
    def scoring_model_directory(self) -> str:
        """Where the model to score with is published."""
        return self.run.model(self.scoring_model)

    @property
    def ranker_directory(self) -> str:
        """Where the ranker is published. Raises SettingsError where the pipeline has none."""
        if self.ranker is None:
            raise SettingsError(f"{self.config}: ranker: is missing; add what a ranker is to learn from")
        return self.run.ranker(self.ranker)

    @property
    def decoder_directory(self) -> str:
        """Where the decoder is that writes drafts. Raises SettingsError where none are written."""
        if self.scoring.draft is None:
            raise SettingsError(f"{self.config}: score.draft: is missing; add who is to write drafts")
        return decoder_directory(self.scoring.draft.model)

    @property
    def bank(self) -> str | None:
        """Fingerprint of the bank of templates that texts are answered from; None where they are not."""
        score = self.settings.score
        if score is None or score.retrieval is None:
            return None
        return lineage.bank_fingerprint(score.retrieval, self.scoring_model, self.bank_sources, score.mode)


def make_plan(config: str, overrides: Sequence[str] = ()) -> Plan:
    """Read a pipeline's settings, check what they name, and derive the fingerprints.

    Raises:
        SettingsError: one line naming file, key, value and remedy.
    """
    settings = load_settings(config, overrides)
    _check_run_dir(config, settings.run_dir)
    interactions, items = _behaviour_sources(config, settings)
    pairs = None
    if settings.recommend is not None:
        pairs = lineage.pairs_fingerprint(settings, (*interactions, *items))
    tokenizer = settings.preprocess.tokenizer
    if tokenizer is not None and tokenizer.directory is not None:
        check_model_directory(config, "preprocess.tokenizer", tokenizer.directory, "tokenizer.json")
    if settings.train.model.directory is not None:
        check_model_directory(config, "train.model", settings.train.model.directory, "config.json")
    check_teacher(config, settings.train.distillation.teacher)
    check_earlier(config, settings)
    check_replay(config, settings)
    corpus = _with_pairs(settings, pairs)
    preprocess_sources = lineage.list_sources(config, "preprocess.inputs", corpus)
    evaluation = settings.preprocess.decontamination.inputs
    evaluation_sources = lineage.list_sources(config, "preprocess.decontamination.inputs", evaluation)
    to_score = () if settings.score is None else settings.score.inputs
    score_sources = lineage.list_sources(config, "score.inputs", to_score)
    bank = () if settings.score is None or settings.score.retrieval is None else settings.score.retrieval.bank
    bank_sources = lineage.list_sources(config, "score.retrieval.bank", bank)
    _check_sources(config, "score.retrieval.bank", bank, bank_sources)
    _check_sources(config, "preprocess.inputs", settings.preprocess.inputs, preprocess_sources)
    _check_sources(config, "preprocess.decontamination.inputs", evaluation, evaluation_sources)
    _check_sources(config, "score.inputs", to_score, score_sources)
    forgotten = read_forgotten(settings.run_dir)
    left_out = [one.name for one in forgotten if one.of_corpus]
    shards = lineage.shards_fingerprint(settings, preprocess_sources, evaluation_sources, left_out)
    model = lineage.model_fingerprint(settings, shards)
    ranker_inputs = () if settings.ranker is None else settings.ranker.inputs
    ranker_sources = lineage.list_sources(config, "ranker.inputs", ranker_inputs)
    _check_sources(config, "ranker.inputs", ranker_inputs, ranker_sources)
    ranker = None
    if settings.ranker is not None and settings.score is not None:
        ranker = lineage.ranker_fingerprint(settings, settings.score.model or model, ranker_sources, bank_sources)
    decoder = None
    if settings.score is not None and settings.score.draft is not None:
        decoder = decoder_named(config, settings.score.draft.model)
    recommender = recommendations = named_reranker = None
    if settings.recommend is not None:
        used = model if settings.recommend.model else None
        named_reranker, reranker = reranker_named(config, settings.recommend, model)
        recommender = lineage.recommender_fingerprint(settings, used, (*interactions, *items), reranker)
        recommendations = lineage.recommendations_fingerprint(recommender, settings.recommend.top_k)
    return Plan(
        config=config,
        overrides=tuple(overrides),
        settings=settings,
        run=RunDirectory(settings.run_dir),
        preprocess_sources=preprocess_sources,
        evaluation_sources=evaluation_sources,
        score_sources=score_sources,
        shards=shards,
        model=model,
        score_settings={
            source.name: lineage.score_settings_fingerprint(settings, source, bank_sources, ranker, decoder)
            for source in to_score
        },
        bank_sources=bank_sources,
        ranker_sources=ranker_sources,
        ranker=ranker,
        decoder=decoder,
        interaction_sources=interactions,
        item_sources=items,
        pairs=pairs,
        recommender=recommender,
        recommendations=recommendations,
        named_reranker=named_reranker,
        forgotten=forgotten,
    )


def check_none_forgotten(plan: Plan, stage: str) -> None:
    """Refuse to publish what was made before a document was forgotten that it may hold.

    Raises:
        StageError: a document was forgotten since the plan was made.
    """
    if set(read_forgotten(plan.run.root)) != set(plan.forgotten):
        raise StageError(
            f"{stage}: documents were forgotten while this ran; nothing was published. Run the command again, which "
            "leaves them out"
        )


def _left_out(sources: Sequence[SourceFile], forgotten: Sequence[ForgottenDocument]) -> Exclusion:
    identities = {place_digest(file.source, file.relative): file.identity for file in sources} if forgotten else {}
    return exclusion(forgotten, identities)


_FIELDS_OF_BEHAVIOUR = {  # of the inputs that they are read as, and what the settings call them
    "interactions": {
        "text_column": "item_column",
        "group_column": "user_column",
        "feature_columns": "rating_column",
    },
    "items": {"feature_columns": "description_column or tags_column"},
}


def _behaviour_sources(config: str, settings: Settings) -> tuple[tuple[SourceFile, ...], tuple[SourceFile, ...]]:
    """The files of interactions and of items; none where nothing is recommended."""
    if settings.recommend is None:
        return (), ()
    own = settings.recommend
    found = []
    for name, source in (("interactions", own.interactions.as_input), ("items", own.items.as_input)):
        key = f"recommend.{name}"
        try:
            files = lineage.list_sources(config, key, (source,))
            _check_sources(config, key, (source,), files)
        except SettingsError as error:
            told = str(error).replace(f"{key}.0.", f"{key}.")
            for field, own_name in _FIELDS_OF_BEHAVIOUR[name].items():
                told = told.replace(f"{key}.{field}", f"{key}.{own_name}")
            raise SettingsError(told) from None
        found.append(files)
    return found[0], found[1]


def _with_pairs(settings: Settings, pairs: str | None) -> tuple[Input, ...]:
    """The inputs of the corpus, with the place of published pairs; without pairs that are not there yet."""
    inputs = settings.preprocess.inputs
    if pairs is None:
        return inputs
    directory = RunDirectory(settings.run_dir).pairs(pairs)
    if not is_published(directory):
        return tuple(source for source in inputs if source.path != PAIRS)
    place = {"path": storage.join(directory, "data", "*.parquet")}
    return tuple(source.model_copy(update=place) if source.path == PAIRS else source for source in inputs)


def _check_run_dir(config: str, run_dir: str) -> None:
    try:
        storage.check_writable(run_dir)
    except (OSError, ValueError, MapringError) as error:
        raise SettingsError(
            f"{config}: run_dir: cannot write to {run_dir!r} ({error}); give a directory you may write to"
        ) from None


def _check_sources(config: str, key: str, inputs: tuple[Input, ...], sources: tuple[SourceFile, ...]) -> None:
    by_name = {source.name: (position, source) for position, source in enumerate(inputs)}
    for file in sources:
        position, source = by_name[file.source]
        check_columns(config, f"{key}.{position}", source, file.uri)
