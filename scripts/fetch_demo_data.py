"""Fetch the demo's data: sentences of four domains with human sentiment ratings (Hutto & Gilbert, ICWSM 2014).

They come inside the source package vaderSentiment 2.5 (MIT licence), through pip as it is configured.
Writes below build/demo one file for each domain, in a format of its own, and `unseen.csv`: a tenth of the texts,
without labels, that no training file holds.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

PACKAGE, VERSION = "vaderSentiment", "2.5"
SHA256 = "b960c954831f5ca58afee61780cc04ed48e551b91e783bfcbfb2c18bb8081a84"
TARGET = Path(__file__).resolve().parents[1] / "build" / "demo"
STAMP = "source.sha256"
UNSEEN, LICENCE = "unseen.csv", "LICENSE.txt"
DOMAINS = {
    "tweets": "tweets.csv",
    "amazonReviewSnippets": "reviews.jsonl.gz",
    "movieReviewSnippets": "movies.tsv",
    "nytEditorialSnippets": "editorials.parquet",
}
_UNSEEN_TENTHS = 1
_CUT = 0.5  # ratings run from -4 to 4; between the cuts a sentence is neutral


class Sentence(NamedTuple):
    """One rated sentence."""

    id: str
    text: str
    label: str


def main() -> int:
    """Fetch, check and write; does nothing when the files are there. Returns the exit code."""
    if is_current(TARGET):
        return 0
    try:
        archive = fetch()
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        sys.stderr.write(f"error: the demo's data cannot be fetched: {error}\n")
        return 1
    sentences = read_archive(archive)
    write_files(sentences, TARGET)
    (TARGET / LICENCE).write_bytes(read_licence(archive))
    (TARGET / STAMP).write_text(_wanted())
    sys.stderr.write(f"demo data: {sum(map(len, sentences.values())):,} rated sentences in build/demo\n")
    return 0


def is_current(target: Path) -> bool:
    """Whether all files are there, written by this very script from this very package."""
    stamp = target / STAMP
    names = (*DOMAINS.values(), UNSEEN, LICENCE)
    return stamp.is_file() and stamp.read_text() == _wanted() and all((target / name).is_file() for name in names)


def _wanted() -> str:
    return f"{SHA256} {hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}"


def fetch() -> Path:
    """The source package in the user's cache, downloaded once and checked.

    Raises:
        ValueError: the file is not the one this script was written for.
        subprocess.SubprocessError: pip could not download it.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "mapring", "demo")
    archive = cache / f"{PACKAGE}-{VERSION}.tar.gz"
    if not archive.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
        command += ["--no-binary", ":all:", "--dest", str(cache), f"{PACKAGE}=={VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise subprocess.SubprocessError(
                f"pip download {PACKAGE}=={VERSION}: {last}; check the network and pip's settings"
            )
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        archive.unlink()
        raise ValueError(f"{archive} has SHA-256 {found}, expected {SHA256}; it was removed: run again")
    return archive


def read_archive(archive: Path) -> dict[str, list[Sentence]]:
    """The rated sentences of each domain, in the order of their files."""
    inner_name = f"{PACKAGE}-{VERSION}/additional_resources/hutto_ICWSM_2014.tar.gz"
    with tarfile.open(archive) as package:
        handle = package.extractfile(inner_name)
        assert handle is not None, inner_name
        inner = io.BytesIO(handle.read())
    found = {}
    with tarfile.open(fileobj=inner) as resources:
        for domain in DOMAINS:
            member = resources.extractfile(f"hutto_ICWSM_2014/{domain}_GroundTruth.txt")
            assert member is not None, domain
            found[domain] = list(read_ratings(member.read(), domain))
    return found


def read_licence(archive: Path) -> bytes:
    """The licence text of the data."""
    with tarfile.open(archive) as package:
        handle = package.extractfile(f"{PACKAGE}-{VERSION}/LICENSE.txt")
        assert handle is not None, LICENCE
        return handle.read()


def read_ratings(content: bytes, domain: str) -> Iterator[Sentence]:
    """Sentences of one file: id, mean rating and text, separated by tabs."""
    for line in content.decode().split("\n"):
        if line:
            number, rating, text = line.rstrip("\r").split("\t")
            yield Sentence(f"{domain}-{number}", text, label_of(float(rating)))


def label_of(rating: float) -> str:
    """The class of a mean rating."""
    return "negative" if rating <= -_CUT else "positive" if rating >= _CUT else "neutral"


def is_unseen(text: str) -> bool:
    """Whether a text is held back, by a hash of its words: equal texts are on one side."""
    words = " ".join(text.lower().split())
    return hashlib.sha256(words.encode()).digest()[0] * 10 // 256 < _UNSEEN_TENTHS


def write_files(sentences: dict[str, list[Sentence]], target: Path) -> None:
    """Write the training files, each in its own format, and the unseen file without labels."""
    target.mkdir(parents=True, exist_ok=True)
    unseen = [row for rows in sentences.values() for row in rows if is_unseen(row.text)]
    for domain, name in DOMAINS.items():
        rows = [row for row in sentences[domain] if not is_unseen(row.text)]
        (target / name).write_bytes(encode(rows, name))
    (target / UNSEEN).write_bytes(_delimited([("id", "text"), *((row.id, row.text) for row in unseen)], ","))


def encode(rows: list[Sentence], name: str) -> bytes:
    """Rows in the format of a file name; equal rows give equal bytes."""
    if name.endswith(".csv"):
        return _delimited([Sentence._fields, *rows], ",")
    if name.endswith(".tsv"):
        lines = ["\t".join(Sentence._fields), *("\t".join(row) for row in rows)]
        return "".join(f"{line}\n" for line in lines).encode()
    if name.endswith(".jsonl.gz"):
        lines = [json.dumps(row._asdict(), ensure_ascii=False) for row in rows]
        return gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row._asdict() for row in rows]), sink)
    return sink.getvalue()


def _delimited(rows: list[tuple[str, ...]], delimiter: str) -> bytes:
    sink = io.StringIO(newline="")
    csv.writer(sink, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return sink.getvalue().encode()


if __name__ == "__main__":
    sys.exit(main())
