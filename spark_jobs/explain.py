"""What happened to one document: `python -m spark_jobs.explain --config C --doc-id ID [KEY=VALUE ...]`; no Spark."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mapring.care.forgotten import FORGOTTEN
from mapring.contract import Manifest, read_manifest
from mapring.contract.schemas import KEPT_IN_SHARDS
from mapring.errors import PublishedError
from mapring.filter_rules import judge, rules_of, written
from mapring.pairs import shown
from mapring.plan import Plan, make_plan
from mapring.settings.filters import Filters
from spark_jobs.light_main import config_parser, print_lines
from spark_jobs.lookup import Place, find_places, find_rows
from spark_jobs.originals import Original, locate, read_again, records_with, what_changed
from spark_jobs.word_diff import word_diff

_MOST_DOCUMENTS = 5  # shown where several share one id of the user
_SHOWN_CHARACTERS = 400


def explain(plan: Plan, wanted: str) -> Iterator[str]:
    """Lines that tell what happened to the documents with this `doc_id` or `source_id`.

    Raises:
        PublishedError: the shards are not published, or no document has this id.
    """
    directory = plan.shards_directory
    manifest = read_manifest(directory)
    drops = {row["doc_id"]: row for row in find_rows(directory, manifest, "drops", {wanted})}
    places = find_places(directory, manifest, {wanted})
    kept = {place.row["doc_id"] for place in places if "doc_id" in place.row}
    if manifest.details.get("packing") and not places and wanted not in drops:  # sequences do not hold your own ids
        others = {found.doc_id for found in records_with(plan, wanted)} - set(drops)
        places = find_places(directory, manifest, others)
        kept = {doc_id for doc_id in others if any(_holds(place, doc_id) for place in places)}
    documents = [*drops, *sorted(kept)] or ([wanted] if places else [])
    if not documents:
        raise PublishedError(_unknown(wanted, directory, manifest))
    yield f"shards {manifest.fingerprint}, {directory}"
    for doc_id in documents[:_MOST_DOCUMENTS]:
        yield ""
        if doc_id in drops:
            yield from _tell_dropped(plan, manifest, drops[doc_id])
        else:
            yield from _tell_kept(plan, manifest, doc_id, [place for place in places if _holds(place, doc_id)])
    if len(documents) > _MOST_DOCUMENTS:
        yield f"\nand {len(documents) - _MOST_DOCUMENTS:,} more with this id"


def _unknown(wanted: str, directory: str, manifest: Manifest) -> str:
    counts = manifest.details["counts"]
    dropped = sum(counts["dropped"].values())
    return (
        f"{wanted}: found no document with this doc_id or source_id; searched the {counts['kept']:,} kept and "
        f"{dropped:,} dropped documents of {directory}; ids stand in its data/ and drops/, and in the report"
    )


def _holds(place: Place, doc_id: str) -> bool:
    return place.row.get("doc_id") == doc_id or doc_id in place.row.get("doc_ids", ())


def _tell_dropped(plan: Plan, manifest: Manifest, row: dict[str, Any]) -> Iterator[str]:
    yield f"document {row['doc_id']}" + _own_id(row["source_id"])
    yield f"  from {row['source']}/{row['path']}, record {row['record']:,}"
    yield f"  dropped {_why(row)}"
    if row["rule"] == FORGOTTEN:
        yield "  it was forgotten: its text, measures and own id are not told"
        return
    yield from _tell_measures(plan.shards_directory, manifest, row["doc_id"])
    changed = what_changed(plan, manifest, row["source"], row["path"])
    original = None if changed else read_again(plan, row["source"], row["path"], row["record"])
    then = _before_removal(manifest) if row["stage"] == "dedup" else ""  # what is dropped earlier loses no parts
    shown = _text_line(original and original.text, then)
    yield f"  text: {changed}, so it cannot be shown" if changed else shown
    if row["kept_doc_id"] is not None:
        yield from _tell_twin(plan, manifest, row, original)


def _why(row: dict[str, Any]) -> str:
    facts = [(name, row[name]) for name in ("measured", "threshold", "similarity", "detail") if row[name] is not None]
    told = ", ".join(f"{name} {value}" for name, value in facts) or "nothing more is known"
    return f"at stage {row['stage']} by rule {row['rule']}: {told}"


def _tell_kept(plan: Plan, manifest: Manifest, doc_id: str, places: list[Place]) -> Iterator[str]:
    row = places[0].row
    sources = [row["source"]] if "source" in row else []
    original = locate(plan, doc_id, sources)
    yield f"document {doc_id}" + _own_id(row.get("source_id") or (original and original.source_id))
    if original is not None:
        yield f"  from {original.source}/{original.path}, record {original.record:,}"
        if changed := what_changed(plan, manifest, original.source, original.path):
            yield f"  note: {changed}"
    else:
        yield f"  from {'/'.join(sources) or 'an input'}; its record is no longer in the input files"
    yield from _tell_places(places, doc_id)
    yield from _tell_measures(plan.shards_directory, manifest, doc_id)
    stored = row.get("text")
    yield (
        _text_line(stored) if stored is not None else _text_line(original and original.text, _before_removal(manifest))
    )


def _tell_places(places: list[Place], doc_id: str) -> Iterator[str]:
    """A line for each row; of a packed sequence also where in it the document's pieces begin."""
    told = []
    for split, path, lane, position, row in places:
        pieces = zip(row.get("doc_ids", ()), row.get("starts", ()), row.get("offsets", ()), strict=True)
        own = [(offset, start) for of, start, offset in pieces if of == doc_id]
        within = [f"from its token {offset:,} at {start:,} of the sequence" for offset, start in own]
        told.append((own, ", ".join([f"  kept: split {split}, {path}, lane {lane}, position {position:,}", *within])))
    yield from (line for _, line in sorted(told, key=lambda item: item[0]))  # in the order of the document


def _tell_measures(directory: str, manifest: Manifest, doc_id: str) -> Iterator[str]:
    rows = find_rows(directory, manifest, "measures", {doc_id})
    if not rows:
        return
    settings = Filters.model_validate(manifest.settings["filters"])
    rules = rules_of(settings)
    stored = {name: np.array([rows[0][name]], np.float32) for name in manifest.details["measures"]["names"]}
    language = rows[0]["language"]
    verdict, seen = judge(stored, pa.array([language], pa.string()), rules, settings, 1)
    told = f" (language {language}, score {stored['language_score'][0]:.3g})" if language else ""
    yield f"  measures{told}:"
    for place, rule in enumerate(rules):
        bound = f"{'at most' if rule.minimum is None else 'at least'} {written(rule.threshold)}"
        outside = bool(rule.fails(seen[rule.measure])[0])
        said = " <- dropped it" if place == verdict[0] else " <- outside as well" if outside else ""
        yield f"    {rule.name}: {rule.measure} {written(seen[rule.measure][0])}, {bound}{said}"


def _tell_twin(plan: Plan, manifest: Manifest, row: dict[str, Any], original: Original | None) -> Iterator[str]:
    twin, detail = row["kept_doc_id"], row["detail"] or ""
    directory: str | None = plan.shards_directory
    if detail.startswith(KEPT_IN_SHARDS):
        directory = _earlier(plan, detail.removeprefix(KEPT_IN_SHARDS))
    yield f"  kept twin: document {twin}" + (f", in {directory}" if directory != plan.shards_directory else "")
    if directory is None:
        yield "    its shards are not among preprocess.duplicates.earlier of this pipeline any more"
        return
    itself = read_manifest(directory)
    places = find_places(directory, itself, {twin})
    yield from (f"  {line}" for line in _tell_places(places, twin))
    for later in [] if places else find_rows(directory, itself, "drops", {twin}):
        yield f"    dropped in its turn {_why(later)}"
    text = stored = next((place.row["text"] for place in places if "text" in place.row), None)
    if text is None and directory == plan.shards_directory:
        found = locate(plan, twin)
        text = found.text if found is not None and not what_changed(plan, manifest, *found[2:4]) else None
    if text is not None and original is not None and original.text is not None:
        removed = _before_removal(manifest)
        note = f" ({'both' if stored is None else 'this one'}{removed})" if removed else ""
        yield f"    from the twin to this one{note}: {word_diff(shown(text), shown(original.text))}"
    else:
        why = "packed shards hold no texts" if places and directory != plan.shards_directory else "an input has changed"
        yield f"    the two texts cannot be compared: {why}"


def _earlier(plan: Plan, fingerprint: str) -> str | None:
    directories = plan.settings.preprocess.duplicates.earlier
    return next((path for path in directories if read_manifest(path).fingerprint == fingerprint), None)


def _own_id(source_id: str | None) -> str:
    return f", your id {source_id}" if source_id else ""


def _before_removal(manifest: Manifest) -> str:
    """What to say of a text that was read again, where the job went on to remove parts of it."""
    unit = manifest.settings["duplicates"]["parts"]["unit"]
    return "" if unit == "none" else f" before repeated {unit}s were removed"


def _text_line(text: str | None, when: str = "") -> str:
    if text is None:
        return "  text: none can be read there"
    text = shown(text)
    more = "..." if len(text) > _SHOWN_CHARACTERS else ""
    return f"  text{when} ({len(text):,} characters): {text[:_SHOWN_CHARACTERS]!r}{more}"


def main(arguments: Sequence[str]) -> int:
    """Run from the command line; returns the exit code."""
    parser = config_parser(__doc__)
    parser.add_argument("--doc-id", required=True, help="a doc_id, or your own id")
    options = parser.parse_args(arguments)
    return print_lines(lambda: explain(make_plan(options.config, options.overrides), options.doc_id))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
