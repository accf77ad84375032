"""The demo's data: parsed, labelled and divided right; the same bytes each time."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import pytest

from scripts.fetch_demo_data import DOMAINS, PACKAGE, VERSION, Sentence, is_unseen, label_of, read_archive, write_files


def make_archive(path: Path) -> Path:
    """A source package of the same shape with a few sentences in each domain."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as resources:
        for domain in DOMAINS:
            lines = [f'{n}\t{n / 5 - 2}\t{domain} sentence {n}, with "quotes" caf\u00e9' for n in range(20)]
            add(resources, f"hutto_ICWSM_2014/{domain}_GroundTruth.txt", "\r\n".join(lines).encode())
    with tarfile.open(path, "w:gz") as package:
        add(package, f"{PACKAGE}-{VERSION}/additional_resources/hutto_ICWSM_2014.tar.gz", inner.getvalue())
    return path


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as handle:
        return list(csv.reader(handle))


@pytest.mark.parametrize(
    ("rating", "label"),
    [(-4, "negative"), (-0.5, "negative"), (-0.49, "neutral"), (0.49, "neutral"), (0.5, "positive")],
)
def test_labels_follow_the_mean_rating(rating: float, label: str) -> None:
    assert label_of(rating) == label


def test_every_sentence_is_in_one_file_and_unseen_ones_have_no_label(tmp_path: Path) -> None:
    sentences = read_archive(make_archive(tmp_path / "source.tar.gz"))
    assert {domain: len(rows) for domain, rows in sentences.items()} == dict.fromkeys(DOMAINS, 20)
    assert sentences["tweets"][0] == Sentence("tweets-0", 'tweets sentence 0, with "quotes" caf\u00e9', "negative")
    write_files(sentences, tmp_path / "a")
    write_files(sentences, tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted([*DOMAINS.values(), "unseen.csv"])
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    unseen = rows_of(tmp_path / "a" / "unseen.csv")
    assert unseen[0] == ["id", "text"]
    held_back = [row for rows in sentences.values() for row in rows if is_unseen(row.text)]
    assert unseen[1:] == [[row.id, row.text] for row in held_back]
    tweets = rows_of(tmp_path / "a" / "tweets.csv")
    assert len(tweets) - 1 + sum(row.id.startswith("tweets") for row in held_back) == 20


def test_equal_words_are_on_one_side() -> None:
    texts = [f"Some Text {number}" for number in range(2000)]
    assert all(is_unseen(text) == is_unseen(f" {text.lower()}  ") for text in texts)
    assert 0.07 < sum(map(is_unseen, texts)) / len(texts) < 0.13
