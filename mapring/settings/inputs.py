"""Settings of one source of documents: where it is, how it is written, and what its fields mean."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from mapring.settings.base import Section, execution, output

Format = Literal["text", "text_file", "jsonl", "csv", "tsv", "parquet", "warc"]
Encoding = Literal["utf-8", "latin-1", "cp1252", "gb18030"]  # those in which a line break is a byte of its own
Separator = Literal[",", ";", "\t", "|"]
Split = Literal["train", "validation", "test"]

COLUMN_SETTINGS = ("second_text_column", "label_column", "id_column", "time_column", "group_column", "feature_columns")
FOR_SCORING = ("feature_columns",)
FOR_PREPROCESSING = ("label_column", "split", "weight")
NOT_FOR_EVALUATION = ("time_column", "group_column", "split", "weight", *FOR_SCORING)


def separator_refusal(file_format: Format, separator: Separator, encoding: Encoding) -> str | None:
    """Why files of a format and encoding cannot have a separator; None where they can."""
    if separator != "," and file_format != "csv":
        return (
            f"separator: found {separator!r} with format {file_format}, which does not use it; remove it, or set "
            "format=csv"
        )
    if separator == "|" and encoding == "gb18030":
        return (
            "separator: found '|' with encoding gb18030, where that byte is also the end of other characters; convert "
            "the file: iconv -f GB18030 -t UTF-8"
        )
    return None


class Input(Section):
    """One named source of documents."""

    name: str = output(
        description="Name of this source; stands in every row, ledger entry and table.", pattern=r"^[A-Za-z0-9_.-]+$"
    )
    path: str = execution(
        description="File, directory or glob, local or a URI; content and position below it identify the documents."
    )
    format: Format = output(
        description="How the files are written: text is a document a line, text_file a document a file. All but "
        "parquet may be compressed (name ends in .gz, .bz2 or .zst)."
    )
    encoding: Encoding = output(
        "utf-8",
        description="Character encoding of the files (not used for warc, whose pages say theirs); cp1252 is that of "
        "Western Windows, gb18030 that of Chinese, GBK included.",
    )
    separator: Separator = output(
        ",", description="What stands between the fields of a csv, whose texts may be quoted.", is_late=True
    )
    text_column: str = output("text", description="Field that holds the text (not used for text, text_file and warc).")
    second_text_column: str | None = output(
        None, description="Field that holds a second text, which makes a document a pair; all inputs have one, or none."
    )
    label_column: str | None = output(
        None, description="Field that holds the label, as preprocess.labels says; none where there is no label."
    )
    id_column: str | None = output(
        None, description="Field with your own id, carried along as source_id; for warc WARC-Target-URI if none."
    )
    time_column: str | None = output(
        None,
        description="Field with the time of a document. Shards carry it as it stands; the scores table has the moment: "
        "ISO 8601, UTC if it names no zone, or seconds since 1970.",
    )
    group_column: str | None = output(
        None, description="Field with a group, such as an author; documents of a group are all in one split."
    )
    feature_columns: tuple[str, ...] = output(
        (), description="Fields with numbers that scored rows carry along; all inputs name the same ones, or none."
    )
    split: Split | None = output(
        None, description="Split of all documents of this source; none divides them by preprocess.splits."
    )
    weight: float = output(
        1.0,
        description="Sampling weight in training: a row of weight 2 comes twice as often as one of weight 1.",
        gt=0,
        le=1000,
        allow_inf_nan=False,
    )

    @model_validator(mode="after")
    def _fields_exist(self) -> Input:
        named = [name for name in COLUMN_SETTINGS if getattr(self, name) not in (None, ())]
        if self.format in ("text", "text_file") and named:
            raise ValueError(
                f"{named[0]}: found {getattr(self, named[0])!r}, but format {self.format} has no columns; "
                "remove it, or use csv, tsv, jsonl or parquet"
            )
        if self.format in ("text", "text_file", "warc") and self.text_column != "text":
            raise ValueError(
                f"text_column: found {self.text_column!r}, but format {self.format} has no text column; remove it"
            )
        if self.format == "warc" and self.second_text_column is not None:
            raise ValueError(
                f"second_text_column: found {self.second_text_column!r}, but a page in a warc is one text; remove it"
            )
        if self.format == "warc" and self.encoding != "utf-8":
            raise ValueError(f"encoding: found {self.encoding!r}, but pages in a warc say theirs; remove it")
        wrong = separator_refusal(self.format, self.separator, self.encoding)
        if wrong is not None:
            raise ValueError(wrong)
        if self.split in ("validation", "test") and self.weight != 1.0:
            raise ValueError(
                f"weight: found {self.weight} with split {self.split}, but only training text is sampled; remove it"
            )
        repeated = sorted({name for name in self.feature_columns if self.feature_columns.count(name) > 1})
        if repeated:
            raise ValueError(f"feature_columns: found {repeated[0]!r} twice, expected each column once; remove one")
        return self


def refuse_settings(key: str, inputs: tuple[Input, ...], names: tuple[str, ...], reader: str) -> None:
    """Raise ValueError where an input below `key` has a setting that its reader would pass over in silence."""
    for position, source in enumerate(inputs):
        for name in names:
            found = getattr(source, name)
            if found != Input.model_fields[name].default:
                raise ValueError(f"{key}.{position}.{name}: found {found!r}, {reader} does not use it; remove it")


def refuse_repeated_names(inputs: tuple[Input, ...]) -> None:
    """Raise ValueError where two inputs have one name."""
    names = [source.name for source in inputs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"inputs: found the name {repeated[0]!r} twice, expected a name of its own for each input")


def refuse_mixed_pairs(inputs: tuple[Input, ...]) -> None:
    """Raise ValueError where some documents would be pairs of texts and others single texts."""
    without = [position for position, source in enumerate(inputs) if source.second_text_column is None]
    if without and len(without) < len(inputs):
        position = without[0]
        raise ValueError(
            f"inputs.{position}.second_text_column: found none for {inputs[position].name!r}, but other inputs have "
            "one; name a second text for every input, or for none"
        )


def refuse_mixed_features(inputs: tuple[Input, ...]) -> None:
    """Raise ValueError where the numbers of a row would mean one thing in one input, and another in the next."""
    first = inputs[0]
    for position, source in enumerate(inputs):
        if source.feature_columns != first.feature_columns:
            raise ValueError(
                f"inputs.{position}.feature_columns: found {list(source.feature_columns)}, but {first.name!r} has "
                f"{list(first.feature_columns)}; name the same columns in the same order for every input"
            )
