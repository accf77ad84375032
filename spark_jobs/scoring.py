"""Records to rows of the scores table, one file at a time; quarantined records get a row that says why."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from mapring.contract.schemas import CARRIED, score_schema
from mapring.pairs import as_lines
from mapring.scores.statistics import file_statistics
from mapring.settings.score import Score
from mapring.watch.stored import CountKeeper
from spark_jobs.decoder import load_task_decoder
from spark_jobs.filters.language import identify_languages
from spark_jobs.modes.drafts import Drafted, write_drafts
from spark_jobs.prediction import Columns, predict_rows
from spark_jobs.predictor import Predictor
from spark_jobs.ranking.features import asked_by_ranker, joined, text_scores
from spark_jobs.ranking.published import load_ranker
from spark_jobs.scores_placing import place_rows, rows_of_a_text
from spark_jobs.tables import Built, WrittenFile, spread_to_files, write_files
from spark_jobs.task_predictor import load_task_predictor

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROWS_PER_ROW_GROUP = 16_384
_GIVEN = (
    *("doc_id", "source_id", "source", "path", "record", *(field.name for field in CARRIED)),
    *("input_identity", "settings_fingerprint"),
)


@dataclass(frozen=True, kw_only=True)
class ScoreBuilder:
    """Builds one file's table of scores.

    `statistics` has `scored`, `errors` by rule, `computed` texts and `fanned_out` rows, `tokens`, `padded_tokens`,
    `drafted` rows and `draft_failures`, with one `draft_problem`, and as `delta` those of Delta's protocol.
    """

    model_directory: str
    batch_tokens: int
    answers: Score
    model_fingerprint: str
    run_id: str
    scored_at: datetime.datetime
    on_rows: Callable[[int], None]
    backend_directory: str | None = None
    bank_directory: str | None = None
    ranker_directory: str | None = None
    decoder_directory: str | None = None
    decoder_fingerprint: str | None = None

    def __call__(self, table: pa.Table) -> Built:
        """Score the rows of SCORED_RECORD columns; rows with a rule keep it as their error."""
        predictor = load_task_predictor(
            self.model_directory, self.batch_tokens, self.backend_directory, self.bank_directory
        )
        mode = predictor.published.mode_for(self.answers)
        schema = score_schema(mode)
        texts = table.column("text")
        given = texts.to_pylist()
        asked = self.answers if self.ranker_directory is None else asked_by_ranker(self.answers, mode)
        predicted, computed, read = predict_rows(predictor, given, asked, table.column("doc_id").to_pylist())
        drafted = self._drafts(predictor, given, predicted)
        predicted |= drafted.columns
        predicted["rank_score"] = self._rank_scores(predictor, predicted, table)
        if not self.answers.probabilities and "probabilities" in predicted:
            predicted["probabilities"] = [None] * table.num_rows
        error = pc.coalesce(table.column("rule"), pa.chunked_array([pa.array(predicted.pop("error"), pa.string())]))
        detail = pc.coalesce(table.column("detail"), pa.chunked_array([pa.array(predicted.pop("detail"), pa.string())]))
        count = table.num_rows
        columns = {
            **{name: table.column(name).cast(schema.field(name).type) for name in _GIVEN},
            **{name: pa.array(values, schema.field(name).type) for name, values in {**predicted, **read}.items()},
            "language": _languages(texts) if self.answers.languages else pa.nulls(count, pa.string()),
            "error": error,
            "detail": detail,
            "model_fingerprint": pa.repeat(self.model_fingerprint, count),
            "run_id": pa.repeat(self.run_id, count),
            "scored_at": pa.repeat(pa.scalar(self.scored_at, schema.field("scored_at").type), count),
        }
        built = pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
        errors = Counter(value for value in error.to_pylist() if value is not None)
        self.on_rows(count)
        tokens = {"tokens": computed.tokens, "padded_tokens": computed.padded_tokens}
        texts = {"computed": computed.texts, "fanned_out": computed.fanned_out}
        drafts = {"drafted": drafted.written, "draft_failures": drafted.failed, "draft_problem": drafted.problem}
        counts = {"scored": count - errors.total(), "errors": dict(errors), **texts, **tokens, **drafts}
        return Built(built, {**counts, "delta": file_statistics(built)})

    def _drafts(self, predictor: Predictor, texts: Sequence[str | None], predicted: Columns) -> Drafted:
        """The drafts of answered rows; none where no decoder is asked for."""
        if self.decoder_directory is None or self.decoder_fingerprint is None:
            return Drafted({}, 0, 0, None)
        assert predictor.bank is not None
        decoder = load_task_decoder(self.decoder_directory, self.decoder_fingerprint, self.batch_tokens)
        return write_drafts(decoder, self.answers, texts, predicted, predictor.bank.texts_of)

    def _rank_scores(self, predictor: Predictor, predicted: Columns, table: pa.Table) -> list[float | None]:
        """Of each row what the ranker makes of its answer and its features; None without a ranker or an answer."""
        if self.ranker_directory is None:
            return [None] * table.num_rows
        ranker = load_ranker(self.ranker_directory, predictor.manifest.fingerprint)
        mode = predictor.published.mode_for(self.answers)
        scores = text_scores(mode, predictor.labels, self.answers, None).of(predicted)
        return ranker.scores(joined(scores, table.column("features").to_pylist(), ranker.features))


def _languages(texts: pa.ChunkedArray) -> pa.Array:
    """The language of each text, of a pair that of both together; null where there is no text or it has no letters."""
    different = as_lines(pc.fill_null(texts, "").combine_chunks()).dictionary_encode()
    return pc.take(identify_languages(different.dictionary)[0], different.indices)


def write_scores(
    records: DataFrame,
    build: ScoreBuilder,
    *,
    inputs: pa.Table,
    files: int,
    rows_per_file: int,
    directory: str,
    keep_counts: CountKeeper,
) -> list[WrittenFile]:
    """Score all records and write them as `files` files below `directory`, and what they count.

    Args:
        records: rows of the SCORED_RECORD schema.
        build: makes rows of the table of them.
        inputs: a row for each input: `source`, `path`, its `first` file and how many `files` it has, counted from 0,
            and its `input_identity` and `settings_fingerprint`.
        files: how many files there are.
        rows_per_file: about how many rows the largest of them have.
        directory: of the table.
        keep_counts: keeps the counts of each file.
    """
    if not files:
        return []
    placed = place_rows(records, inputs, rows_of_a_text(rows_per_file))
    return write_files(
        spread_to_files(placed, F.col("file"), files, "source", "path", "record", "group"),
        build,
        name=f"{build.run_id[:8]}-{{:05d}}".format,
        directory=directory,
        folder="data",
        rows_per_row_group=ROWS_PER_ROW_GROUP,
        then=keep_counts,
    )
