"""Texts of scored records, read again and redacted: `python -m spark_jobs.examples --config C --model M`; no Spark.

A place is a line of JSON on stdin with `source`, `path`, `record` and `identity`, the content of the input file when it
was scored. For each a line of JSON comes out, with `text`, or with `reason` where it is not to be had: a file that has
changed may hold another text at that place. All kinds of personal data are redacted, whatever the model's own
normalization does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mapring import storage
from mapring.contract import read_manifest
from mapring.errors import MapringError
from mapring.lineage import SourceFile, content_identity
from mapring.pairs import shown
from mapring.redaction import ORDER, redact
from mapring.run_directory import RunDirectory
from mapring.settings import Settings, load_settings
from mapring.settings.inputs import Input
from mapring.settings.normalization import Normalization
from spark_jobs.light_main import config_parser, print_lines
from spark_jobs.readers import read_segment
from spark_jobs.records import document_texts
from spark_jobs.segments import plan_segments


def examples(settings: Settings, model: str, places: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    """The redacted text of each place, or the reason why there is none.

    Args:
        settings: whose `score.inputs` the places are in.
        model: fingerprint of the model that scored them, whose normalization texts get.
        places: `source`, `path`, `record`, `identity` of each.
    """
    inputs = {} if settings.score is None else {source.name: source for source in settings.score.inputs}
    text = read_manifest(RunDirectory(settings.run_dir).model(model)).details["text"]
    normalization = Normalization.model_validate(text)
    for place in places:
        source = inputs.get(place["source"])
        if source is None:
            yield {"reason": f"{place['source']} is no longer among the inputs"}
            continue
        try:
            yield _example(source, settings.spark.split_bytes, normalization, place)
        except (MapringError, pa.ArrowException, OSError) as error:
            yield {"reason": f"{place['source']}/{place['path']} cannot be read ({type(error).__name__})"}


def _example(source: Input, split_bytes: int, normalization: Normalization, place: Mapping[str, Any]) -> dict[str, str]:
    named = f"{place['source']}/{place['path']}"
    files = [file for file in storage.list_files(source.path) if file.relative == place["path"]]
    if not files:
        return {"reason": f"{named} is no longer among the inputs"}
    identity = content_identity(files[0].uri)
    if identity != place["identity"]:
        return {"reason": f"{named} has changed since it was scored"}
    file = SourceFile(source.name, files[0].uri, files[0].relative, files[0].bytes, identity)
    for segment in plan_segments([source], [file], split_bytes):
        for batch in read_segment(segment):
            row = pc.index(batch.column("record"), place["record"]).as_py()
            if row >= 0:
                texts = document_texts(source, batch.slice(row, 1), normalization, None)
                found = redact(texts, ORDER)[0].as_py()
                return {"reason": f"{named} holds no text there"} if found is None else {"text": shown(found)}
    return {"reason": f"{named} has no record {place['record']}"}


def main(arguments: Sequence[str]) -> int:
    """Run from the command line; returns the exit code."""
    parser = config_parser(__doc__)
    parser.add_argument("--model", required=True, help="fingerprint of the model that scored the records")
    options = parser.parse_args(arguments)
    places = [json.loads(line) for line in sys.stdin if line.strip()]

    def lines() -> Iterator[str]:
        for found in examples(load_settings(options.config, options.overrides), options.model, places):
            yield json.dumps(found, ensure_ascii=False)

    return print_lines(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
