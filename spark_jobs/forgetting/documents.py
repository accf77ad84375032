"""Which documents a user means: those in input files, published shards and the scores table, and forgotten ones.

Input files are passed over whole, because a document id is a digest of a position. The hash of a text is that of its
normalized form, as preprocessing prepares it and as scoring does, so that either leaves it out where it comes again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mapring import storage
from mapring.care.forgotten import ForgottenDocument, digest, place_digest, text_hashes
from mapring.care.standing import Generation, generations
from mapring.contract import is_published, read_manifest
from mapring.errors import MapringError
from mapring.lineage import SourceFile
from mapring.plan import Plan
from mapring.scores.table import read_table
from mapring.settings import Input
from mapring.settings.filters import Filters
from mapring.settings.normalization import Normalization
from spark_jobs.lookup import find_places, find_rows
from spark_jobs.readers import read_segment
from spark_jobs.records import document_id, document_texts
from spark_jobs.segments import plan_segments


@dataclass(kw_only=True)
class Document:
    """What is known of one document, also its texts, which are nowhere stored."""

    doc_id: str
    place: str = ""
    identity: str = ""
    hashes: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    own_ids: set[str] = field(default_factory=set)  # digests
    of_corpus: bool = False

    def may_be(self, identities: Collection[str | None], content_hash: str | None = None) -> bool:
        """Whether what has this document's id, in files of these identities, is this document.

        An id is a position, and after a change of the file another document stands there. What nothing is known of
        yet is whatever is found first.
        """
        known = self.hashes | {document_id(text) for text in self.texts}
        if (self.identity and self.identity in identities) or content_hash in known:
            return True
        return not (self.identity or known)

    def to_record(self) -> ForgottenDocument:
        """Its record."""
        return ForgottenDocument(
            doc_id=self.doc_id,
            place=self.place,
            identity=self.identity,
            hashes=tuple(sorted(self.hashes)),
            source_id=min(self.own_ids, default=""),
            of_corpus=self.of_corpus,
        )


class Documents(dict[str, Document]):
    """Documents by their id."""

    def of(self, doc_id: str) -> Document:
        """The document of this id, new where it is not known."""
        return self.setdefault(doc_id, Document(doc_id=doc_id))

    @property
    def hashes(self) -> frozenset[str]:
        """Of all texts."""
        return frozenset(value for one in self.values() for value in one.hashes)

    @property
    def texts(self) -> frozenset[str]:
        """All texts."""
        return frozenset(text for one in self.values() for text in one.texts)


def find_documents(plan: Plan, wanted: Collection[str]) -> tuple[Documents, list[str]]:
    """The documents that are meant by ids, which are a `doc_id` or your own id; and the ids that none is known by.

    Raises:
        InputError: an input file is damaged, so it cannot be told what is in it.
    """
    found, known = Documents(), set()
    for one in plan.forgotten:
        names = {name for name in wanted if one.is_known_as(name)}
        if names:
            known |= names
            _take_up(found, one)
    readings = [*_readings(plan)]
    for reading in readings:
        known |= _in_inputs(reading, readings, wanted, found)
    shards = [
        one
        for one in sorted(generations(plan.run.root), key=lambda one: one.name != plan.shards)
        if one.kind == "shards" and one.is_published and not one.is_damaged
    ]
    for generation in shards:
        known |= _in_shards(generation, {*wanted, *found}, found)
    known |= _in_scores(plan, {*wanted, *found}, found)
    for document in found.values():
        document.hashes |= {document_id(text) for text in document.texts}
    _mark_copied(found, readings, shards)
    return found, [name for name in wanted if name not in known]


def _take_up(found: Documents, record: ForgottenDocument) -> None:
    document = found.of(record.doc_id)
    document.place, document.identity = record.place, record.identity
    document.hashes |= text_hashes(record.hashes)
    document.own_ids |= {record.source_id} if record.source_id else set()
    document.of_corpus |= record.of_corpus


@dataclass(frozen=True)
class _Reading:
    """One kind of input files, and how their texts are prepared."""

    inputs: Sequence[Input]
    files: Sequence[SourceFile]
    split_bytes: int
    normalization: Normalization
    filters: Filters | None
    of_corpus: bool


def _readings(plan: Plan) -> Iterator[_Reading]:
    preprocess, split_bytes = plan.settings.preprocess, plan.settings.spark.split_bytes
    yield _Reading(
        preprocess.inputs,
        plan.preprocess_sources,
        split_bytes,
        preprocess.normalization,
        preprocess.filters,
        True,
    )
    if plan.settings.score is not None:
        normalization = preprocess.normalization
        if is_published(plan.scoring_model_directory):
            text = read_manifest(plan.scoring_model_directory).details["text"]
            normalization = Normalization.model_validate(text)
        yield _Reading(plan.scoring.inputs, plan.score_sources, split_bytes, normalization, None, False)


def _in_inputs(
    reading: _Reading, all_readings: Sequence[_Reading], wanted: Collection[str], found: Documents
) -> set[str]:
    """Take up the records of files that are meant; returns the ids that they are meant by."""
    known: set[str] = set()
    files = {(file.source, file.relative): file for file in reading.files}
    for segment in plan_segments(reading.inputs, reading.files, reading.split_bytes):
        start = f"{segment.source.name}\0{segment.relative}\0"
        for batch in read_segment(segment):
            pairs = zip(batch.column("record").to_pylist(), batch.column("source_id").to_pylist(), strict=True)
            for row, (record, own) in enumerate(pairs):
                doc_id = document_id(f"{start}{record}")
                if own not in wanted and doc_id not in wanted and doc_id not in found:
                    continue
                known |= {name for name in (own, doc_id) if name in wanted}
                document = found.of(doc_id)
                raw = batch.slice(row, 1)
                texts = {text for other in all_readings for text in _prepared(other, segment.source, raw)}
                identity = files[segment.source.name, segment.relative].identity
                if own not in wanted and not any(
                    document.may_be({identity}, content) for content in (*map(document_id, texts), None)
                ):
                    continue  # it was forgotten before, and its line has been taken out since
                document.place = place_digest(segment.source.name, segment.relative)
                document.identity = identity
                document.own_ids |= {digest(own)} if own else set()
                document.of_corpus |= reading.of_corpus
                document.texts |= texts
    return known


def _prepared(reading: _Reading, source: Input, raw: pa.RecordBatch) -> set[str]:
    try:
        texts = document_texts(source, raw, reading.normalization, reading.filters)
    except (MapringError, pa.ArrowException):
        return set()
    return {text for text in texts.to_pylist() if text}


def _in_shards(generation: Generation, ids: set[str], found: Documents) -> set[str]:
    manifest = read_manifest(generation.directory)
    identities = {(link.get("source"), link.get("path")): link.get("identity") for link in manifest.inputs}
    known: set[str] = set()
    for row in find_rows(generation.directory, manifest, "drops", ids):
        document = found.of(row["doc_id"])
        document.of_corpus = True
        known |= {name for name in (row["doc_id"], row["source_id"]) if name in ids}
        document.own_ids |= {digest(row["source_id"])} if row["source_id"] else set()
        if not document.place:
            document.place = place_digest(row["source"], row["path"])
            document.identity = identities.get((row["source"], row["path"])) or ""
    for place in find_places(generation.directory, manifest, ids):
        row = place.row
        if "doc_id" not in row:  # a packed sequence, which holds no text and no ids of yours
            held = ids & set(row["doc_ids"])
            known |= held
            for doc_id in held:
                found.of(doc_id).of_corpus = True
            continue
        document = found.of(row["doc_id"])
        known |= {name for name in (row["doc_id"], row["source_id"]) if name in ids}
        if row["source_id"] not in ids and not document.may_be(set(identities.values()), document_id(row["text"])):
            continue
        document.of_corpus = True
        document.own_ids |= {digest(row["source_id"])} if row["source_id"] else set()
        document.texts.add(row["text"])
    return known


def _in_scores(plan: Plan, ids: set[str], found: Documents) -> set[str]:
    table = read_table(plan.run.scores)
    known: set[str] = set()
    for file in table.files if table is not None else ():
        with storage.open_read(storage.join(plan.run.scores, file.path)) as handle:
            names = set(pq.ParquetFile(handle).schema_arrow.names)
            columns = [*{"doc_id", "source_id", "source", "path", "input_identity"}, *({"content_hash"} & names)]
            is_meant = pc.field("doc_id").isin(list(ids)) | pc.field("source_id").isin(list(ids))
            rows = pq.read_table(handle, columns=columns, filters=is_meant).to_pylist()
        for row in rows:
            document = found.of(row["doc_id"])
            known |= {name for name in (row["doc_id"], row["source_id"]) if name in ids}
            if row["source_id"] not in ids and not document.may_be({row["input_identity"]}, row.get("content_hash")):
                continue
            document.own_ids |= {digest(row["source_id"])} if row["source_id"] else set()
            document.hashes |= text_hashes([row.get("content_hash")])
            if not document.place:
                document.place = place_digest(row["source"], row["path"])
                document.identity = row["input_identity"]
    return known


def _mark_copied(found: Documents, readings: Sequence[_Reading], shards: Sequence[Generation]) -> None:
    """Documents of whose text there is a copy in the corpus are of the corpus, whatever id that copy has.

    Else shards with the copy would keep their fingerprint, and preprocessing would publish them again.
    """
    outside: dict[str, list[Document]] = {}
    for document in found.values():
        for value in () if document.of_corpus else document.hashes:
            outside.setdefault(value, []).append(document)
    if not outside:
        return
    hashes = (
        *(_hashes_of(reading) for reading in readings if reading.of_corpus),
        *(_hashes_in(generation) for generation in shards),
    )
    for value in (value for some in hashes for value in some if value in outside):
        for document in outside[value]:
            document.of_corpus = True


def _hashes_of(reading: _Reading) -> Iterator[str]:
    """Of the texts of input files, as they are prepared."""
    for segment in plan_segments(reading.inputs, reading.files, reading.split_bytes):
        for batch in read_segment(segment):
            yield from map(document_id, _prepared(reading, segment.source, batch))


def _hashes_in(generation: Generation) -> Iterator[str]:
    """Of the texts that published shards hold or tell of."""
    for entry in read_manifest(generation.directory).files:
        if not entry.path.startswith(("data/", "drops/", "measures/", "sketches/")):
            continue
        with storage.open_read(storage.join(generation.directory, entry.path)) as handle:
            file = pq.ParquetFile(handle)
            for name in {"text", "content_hash"} & set(file.schema_arrow.names):
                values = (value for value in file.read([name]).column(name).to_pylist() if value)
                yield from values if name == "content_hash" else map(document_id, values)
