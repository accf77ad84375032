"""Arrow schemas of the published tables. Binary digests are lowercase hex, so that every reader can show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pyarrow as pa

if TYPE_CHECKING:
    from mapring.settings.combinations import ModeName

LabelKind = Literal["one", "several", "number"]

_DOCUMENT = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),  # 32 hex digits, derived from the source position
        pa.field("source_id", pa.string()),  # the user's own id, where a column was named
        pa.field("source", pa.string(), nullable=False),  # name of the input
        pa.field("time", pa.string()),  # as it stands in the input, where a column was named
        pa.field("group", pa.string()),  # where a column was named; a group is in one split
        pa.field("text", pa.string(), nullable=False),  # normalized; of a pair both, as `mapring.pairs` joins them
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),  # with special tokens, truncated
    ]
)
LABEL_FIELDS: dict[LabelKind, pa.Field] = {  # null where a document is unlabelled
    "one": pa.field("label_id", pa.int32()),  # index into the manifest's labels
    "several": pa.field("label_ids", pa.list_(pa.int32())),  # sorted indices, each once; may be none
    "number": pa.field("target", pa.float64()),  # finite
}
SECOND_START = pa.field("second_start", pa.int32(), nullable=False)  # first token of the second text in input_ids


def shard_schema(label_kind: LabelKind = "one", *, has_pairs: bool = False) -> pa.Schema:
    """Columns of a shard of documents; the manifest's details tell `label_kind` and `pairs`."""
    place = _DOCUMENT.get_field_index("input_ids")
    schema = _DOCUMENT.insert(place, LABEL_FIELDS[label_kind])
    return schema.append(SECOND_START) if has_pairs else schema


SHARD = shard_schema()

PACKED = pa.schema(
    [
        pa.field("sequence_id", pa.string(), nullable=False),  # 32 hex digits, derived from its pieces' contents
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),  # of all pieces, one behind the other
        pa.field("doc_ids", pa.list_(pa.string()), nullable=False),  # the document of each piece
        pa.field("starts", pa.list_(pa.int32()), nullable=False),  # where each piece begins; positions restart there
        pa.field("offsets", pa.list_(pa.int32()), nullable=False),  # first token of each piece within its document
    ]
)

KEPT_IN_SHARDS = "kept in shards "  # how `detail` of a DROP begins whose twin is in earlier shards
DROP = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("source_id", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),  # below the input's root
        pa.field("record", pa.int64(), nullable=False),  # line (text, jsonl, csv) or row (parquet), from 1
        pa.field("stage", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("measured", pa.string()),
        pa.field("threshold", pa.string()),
        pa.field("kept_doc_id", pa.string()),  # for duplicates
        pa.field("similarity", pa.float64()),  # for duplicates
        pa.field("detail", pa.string()),
    ]
)

MISTAKE = pa.schema(
    [
        pa.field("rank", pa.int32(), nullable=False),  # 1 is the worst
        pa.field("split", pa.string(), nullable=False),
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),  # of the shard below the shards directory
        pa.field("row", pa.int64(), nullable=False),  # of that file, from 0
        pa.field("truth", pa.string(), nullable=False),  # its label, its labels or its number
        pa.field("answer", pa.string(), nullable=False),  # of the model
        pa.field("confidence", pa.float64()),  # calibrated probability of the answer, of one label
        pa.field("loss", pa.float64(), nullable=False),
        pa.field(
            "neighbours",  # of the training split, the nearest first
            pa.list_(
                pa.struct(
                    [
                        pa.field("doc_id", pa.string(), nullable=False),
                        pa.field("path", pa.string(), nullable=False),
                        pa.field("row", pa.int64(), nullable=False),
                        pa.field("label", pa.string(), nullable=False),
                        pa.field("similarity", pa.float64(), nullable=False),  # cosine of TF-IDF weights
                    ]
                )
            ),
            nullable=False,
        ),
    ]
)

# The first columns of measures/; behind them stands one float32 column for each measure, by its name, sorted.
MEASURED = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string()),  # where languages are asked for, and the text has letters
        pa.field("rule", pa.string()),  # the filter that dropped it; null where it passed them all
    ]
)

LABEL_COUNTS = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
    ]
)

LENGTH_COUNTS = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),  # length of a document in tokens, after truncation
        pa.field("documents", pa.int64(), nullable=False),
    ]
)

SOURCE_COUNTS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("characters", pa.int64(), nullable=False),
    ]
)

CHARACTER_COUNTS = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("lower", pa.int64(), nullable=False),  # least characters of a bin, eight of which make an octave
        pa.field("documents", pa.int64(), nullable=False),
    ]
)

DROP_COUNTS = pa.schema(
    [
        pa.field("rule", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
    ]
)

CLUSTER_SIZES = pa.schema(
    [
        pa.field("rule", pa.string(), nullable=False),  # exact or near duplicates
        pa.field("documents", pa.int64(), nullable=False),  # size: the kept document and those dropped for it
        pa.field("clusters", pa.int64(), nullable=False),  # how many there are of that size
    ]
)

MEASURE_COUNTS = pa.schema(
    [
        pa.field("measure", pa.string(), nullable=False),
        pa.field("lower", pa.float64(), nullable=False),  # lower bound of a bin of `mapring.histogram`
        pa.field("documents", pa.int64(), nullable=False),  # measured ones, kept or dropped
    ]
)

WORD_COUNTS = pa.schema(
    [
        pa.field("word", pa.string(), nullable=False),
        pa.field("occurrences", pa.int64(), nullable=False),  # in the kept documents of all splits
        pa.field("documents", pa.int64(), nullable=False),  # that hold it
    ]
)

NGRAM_COUNTS = pa.schema(
    [
        pa.field("n", pa.int32(), nullable=False),
        pa.field("ngram", pa.string(), nullable=False),  # words with a space between
        pa.field("occurrences", pa.int64(), nullable=False),
    ]
)

TOP_TERMS = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),  # label or source
        pa.field("name", pa.string(), nullable=False),  # of the label or source
        pa.field("rank", pa.int32(), nullable=False),  # from 1
        pa.field("word", pa.string(), nullable=False),
        pa.field("occurrences", pa.int64(), nullable=False),  # under this label or in this source
        pa.field("documents", pa.int64(), nullable=False),  # of the whole corpus that hold it
        pa.field("score", pa.float64(), nullable=False),  # TF-IDF
    ]
)

SKETCH = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("shingles", pa.list_(pa.int64()), nullable=False),  # 64-bit hashes, sorted, each once
        pa.field("bands", pa.list_(pa.int64()), nullable=False),  # keys of the MinHash bands
    ]
)

_PROBABILITY = pa.struct([pa.field("label", pa.string()), pa.field("score", pa.float64())])
_ANSWER = pa.struct([pa.field("id", pa.string()), pa.field("score", pa.float64())])
_WEIGHT = pa.struct([pa.field("token", pa.string()), pa.field("weight", pa.float64())])
_OF_LABELS = (
    pa.field("probabilities", pa.list_(pa.float32())),  # in the order of the model's labels
    pa.field("top", pa.list_(_PROBABILITY)),  # the most probable first
)
_EXPLANATION = pa.field("explanation", pa.list_(_WEIGHT))  # in the order of the tokens
_OF_ONE_LABEL = (
    pa.field("label", pa.string()),  # null where `abstained`, too
    pa.field("score", pa.float64()),  # the most probable label's probability, at the model's temperature
    *_OF_LABELS,
    pa.field("abstained", pa.bool_()),
    _EXPLANATION,
)
_OF_TEMPLATES = (
    pa.field("answers", pa.list_(_ANSWER)),  # the nearest templates, the nearest first; of equal ones by id
    pa.field("answer", pa.string()),  # id of the nearest; null where `abstained`, too
)
DRAFT = (  # null where none is asked for, and of rows without an answer
    pa.field("draft", pa.string()),  # what a decoder wrote; null where it failed, too
    pa.field("draft_finish", pa.string()),  # end, stop or length; failed where detail says why
    pa.field("draft_model", pa.string()),  # fingerprint of the decoder
)
_ANSWERS: dict[ModeName, tuple[pa.Field, ...]] = {  # null where `error` says why, or where a setting does not ask
    "classify": _OF_ONE_LABEL,
    "answer": (
        *_OF_ONE_LABEL,
        *_OF_TEMPLATES,
        pa.field("similarity", pa.float64()),  # cosine similarity of text and nearest template
        *DRAFT,
    ),
    "multilabel": (
        pa.field("labels", pa.list_(_PROBABILITY)),  # those of a probability above 0.5, the most probable first
        *_OF_LABELS,
        _EXPLANATION,
    ),
    "regression": (
        pa.field("value", pa.float64()),  # in the unit of the training targets
        _EXPLANATION,
    ),
    "embed": (pa.field("embedding", pa.list_(pa.float32())),),  # of length 1
    "retrieve": (
        *_OF_TEMPLATES,
        pa.field("label", pa.string()),  # of that template, where the bank has labels
        pa.field("score", pa.float64()),  # cosine similarity of text and nearest template
        pa.field("abstained", pa.bool_()),
        *DRAFT,
    ),
    "perplexity": (
        pa.field("perplexity", pa.float64()),  # null of a text in which nothing is predicted
        pa.field("tokens", pa.int32()),  # that are predicted: all but the first
    ),
    "generate": (
        pa.field("generated", pa.string()),  # without the text itself
        pa.field("tokens", pa.int32()),  # that were added
        pa.field("finish", pa.string()),  # end, stop or length
    ),
}
_WHY_NOT = (
    pa.field("error", pa.string()),  # rule that kept the row from being scored
    pa.field("detail", pa.string()),
)


CARRIED = (
    pa.field("time", pa.timestamp("us", tz="UTC")),  # null where no column is named, or it cannot be read
    pa.field("group", pa.string()),
    pa.field("features", pa.list_(pa.float64())),  # in the order of feature_columns; null where none is named
    pa.field("content_hash", pa.string()),  # of the normalized text; null where there is none
)


RANK_SCORE = pa.field("rank_score", pa.float64())  # what a ranker makes of answer and features; null without one
READ = (  # of texts that a model was given, also where it failed on them
    pa.field("input_tokens", pa.int32()),  # that the model reads, special ones included, after cutting
    pa.field("unknown_tokens", pa.int32()),  # those that the vocabulary has not; null where it can write everything
    pa.field("language", pa.string()),  # where score.languages asks for it, and the text has letters
)


def answer_schema(mode: ModeName) -> pa.Schema:
    """Columns of what a model gives in a mode; the same ones whatever settings ask for."""
    return pa.schema([*_ANSWERS[mode], *_WHY_NOT])


def score_schema(mode: ModeName) -> pa.Schema:
    """Columns of the scores table in a mode."""
    return pa.schema(
        [
            pa.field("doc_id", pa.string(), nullable=False),
            pa.field("source_id", pa.string()),
            pa.field("source", pa.string(), nullable=False),
            pa.field("path", pa.string(), nullable=False),
            pa.field("record", pa.int64(), nullable=False),
            *CARRIED,
            *answer_schema(mode),
            *READ,
            RANK_SCORE,
            pa.field("input_identity", pa.string(), nullable=False),  # of the content of the input file
            pa.field("model_fingerprint", pa.string(), nullable=False),
            pa.field("settings_fingerprint", pa.string(), nullable=False),  # of what shapes the scores of this source
            pa.field("run_id", pa.string(), nullable=False),
            pa.field("scored_at", pa.timestamp("us", tz="UTC"), nullable=False),
        ]
    )


RECOMMENDED = pa.schema(
    [
        pa.field("user", pa.string(), nullable=False),  # as interactions name it
        pa.field("rank", pa.int32(), nullable=False),  # from 1, of each user
        pa.field("item", pa.string(), nullable=False),  # as items name it
        pa.field("text", pa.string(), nullable=False),  # the item's, normalized
        pa.field("interest", pa.float64(), nullable=False),  # higher is better, within a user
        pa.field("model_fingerprint", pa.string()),  # null where no model was asked
        pa.field("ranker_fingerprint", pa.string(), nullable=False),
    ]
)
PAIR = pa.schema(
    [
        pa.field("user_text", pa.string(), nullable=False),  # what the user liked before
        pa.field("item_text", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),  # liked, or passed of a negative
        pa.field("user", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("time", pa.string(), nullable=False),  # of the like, in seconds since 1970
    ]
)

RANKED = ("rank", "ranked_by", "rows")


def ranked_schema(scores: pa.Schema) -> pa.Schema:
    """Columns of a ranking of a scores table with these columns: RANKED, then those."""
    own = (
        pa.field("rank", pa.int32(), nullable=False),  # from 1, of all rows or in its group
        pa.field("ranked_by", pa.float64(), nullable=False),  # the number that sorts
        pa.field("rows", pa.int64(), nullable=False),  # with this text, of which this is the first
    )
    return pa.schema([*own, *scores])
