"""Web archives: pages to their main texts, everything else to a rule, and damage to an error."""

from __future__ import annotations

import gzip

import pytest

from mapring.errors import InputError
from spark_jobs.formats.raw import HTTP_STATUS, MALFORMED, NOT_HTML, QUARANTINE_RULES
from tests.spark_jobs.conftest import Read
from tests.spark_jobs.formats.archives import PAGE, info, page, record, request, response
from tests.spark_jobs.formats.test_compression import zstd

TEXT = "A paragraph of Köln with a good number of words, so that it is the main text."


def test_pages_come_out_as_main_text_with_their_address(read: Read) -> None:
    rows = read(info() + request("http://a/") + page("http://a/", TEXT) + page("http://b/", "Another."), "warc")
    assert [(row["record"], row["source_id"], row["text"]) for row in rows] == [
        (3, "http://a/", TEXT),
        (4, "http://b/", "Another."),
    ]
    assert {row["rule"] for row in rows} == {None}


def test_an_address_stands_without_the_brackets_that_wget_puts_around_it(read: Read) -> None:
    [row] = read(page("<http://a/>", TEXT), "warc")
    assert row["source_id"] == "http://a/"
    [row] = read(page("<http://a/>", TEXT), "warc", id_column="warc-target-uri", group_column="WARC-Record-ID")
    assert (row["source_id"], row["group"]) == ("http://a/", "<urn:uuid:<http://a/>>")


def test_header_fields_serve_as_columns(read: Read) -> None:
    [row] = read(page("http://a/", TEXT), "warc", id_column="WARC-Record-ID", time_column="WARC-Date")
    assert (row["source_id"], row["time"], row["group"]) == ("<urn:uuid:http://a/>", "2024-01-02T03:04:05Z", None)


@pytest.mark.parametrize(
    ("content", "rule", "detail"),
    [
        (response("u", b"%PDF", content_type="application/pdf"), NOT_HTML, "found application/pdf, expected text/html"),
        (response("u", b"x", content_type=""), NOT_HTML, "found no content type, expected text/html"),
        (response("u", b"gone", status="404 Not Found"), HTTP_STATUS, "found status 404, expected 200"),
        (response("u", b"", status="301 Moved"), HTTP_STATUS, "found status 301, expected 200"),
        (record("revisit", "u", b""), NOT_HTML, "found a revisit record, expected a response"),
        (record("resource", "u", b"<p>x", "text/html"), NOT_HTML, "found a resource record, expected a response"),
        (record("conversion", "u", b"x", "text/plain"), NOT_HTML, "found a conversion record, expected a response"),
        (record("response", "u", b"x", "text/dns"), NOT_HTML, "found 'text/dns', expected an HTTP response"),
        (record("response", "u", b"no http at all"), MALFORMED, "not an HTTP response: found no status line"),
        (response("u", b"\x1f\x8bxxxx", extra="Content-Encoding: gzip\r\n"), MALFORMED, "not a sound HTTP response"),
        (response("u", b"!", extra="Transfer-Encoding: chunked\r\n"), MALFORMED, "Invalid chunk header"),
    ],
)
def test_what_is_no_page_is_dropped_by_a_rule_and_reading_goes_on(
    read: Read, content: bytes, rule: str, detail: str
) -> None:
    rows = read(content + page("http://next/", TEXT), "warc")
    found = [(row["record"], row["source_id"], row["rule"]) for row in rows]
    assert found == [(1, "u", rule), (2, "http://next/", None)]
    assert detail in rows[0]["detail"] and rows[0]["text"] is None
    assert rows[1]["text"] == TEXT


def test_what_is_no_page_says_nothing_about_the_health_of_an_archive() -> None:
    assert not {NOT_HTML, HTTP_STATUS} & set(QUARANTINE_RULES)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (PAGE.format(TEXT).encode("latin-1"), "text/html; charset=ISO-8859-1"),
        (PAGE.format(TEXT).encode("utf-8"), "text/html; charset=UTF8"),
        (PAGE.format(TEXT).replace("<head>", "<head><meta charset=utf-8>").encode(), "text/html"),
        (PAGE.format(TEXT).encode("utf-8"), "application/xhtml+xml; charset=utf-8"),
    ],
)
def test_pages_are_read_in_the_encoding_they_declare(read: Read, body: bytes, content_type: str) -> None:
    [row] = read(response("u", body, content_type=content_type), "warc")
    assert row["text"] == TEXT


def test_bytes_of_no_encoding_become_replacement_characters(read: Read) -> None:
    [row] = read(response("u", PAGE.format("a bad?byte in words").encode().replace(b"?", b"\xff")), "warc")
    assert row["text"] == "a bad\ufffdbyte in words"


def test_compressed_and_chunked_pages_are_undone(read: Read) -> None:
    body = PAGE.format(TEXT).encode()
    packed = response("u", gzip.compress(body), extra="Content-Encoding: gzip\r\n")
    chunked = response("v", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), extra="Transfer-Encoding: chunked\r\n")
    assert [row["text"] for row in read(packed + chunked, "warc")] == [TEXT, TEXT]


@pytest.mark.parametrize("body", [b"", b"\0\0", b"<" * 10_000, b"<div>" * 10_000])
def test_no_page_is_too_strange(read: Read, body: bytes) -> None:
    [row] = read(response("u", body), "warc")
    assert row["rule"] is None and row["text"] is not None


def test_compressed_archives_read_the_same_one_member_a_record_or_not(read: Read) -> None:
    records = [info(), page("http://a/", TEXT), page("http://b/", "Another.")]
    expected = read(b"".join(records), "warc", name="a.warc")
    assert len(expected) == 2
    for compress, ending in ((gzip.compress, "gz"), (zstd, "zst")):
        for content in (b"".join(map(compress, records)), compress(b"".join(records))):
            assert read(content, "warc", name=f"a.warc.{ending}") == expected


ARCHIVE = info() + page("http://a/", TEXT) + page("http://b/", TEXT)


@pytest.mark.parametrize(
    "content",
    [
        ARCHIVE[:-60],
        ARCHIVE[: len(ARCHIVE) - len(page("http://b/", TEXT)) + 50],
        ARCHIVE + b"something else",
        b"something else" * 100 + ARCHIVE,
        ARCHIVE.replace(b"Content-Length: 17", b"Content-Length: 9"),
        ARCHIVE.replace(b"Content-Length: 17", b"Content-Length: 99"),
        ARCHIVE.replace(b"\r\n", b"\n"),
        b"no archive",
    ],
)
def test_a_damaged_archive_is_refused_by_name(read: Read, content: bytes) -> None:
    assert content != ARCHIVE
    with pytest.raises(InputError, match=r"a\.warc: the file is damaged or incomplete .*replace it"):
        read(content, "warc", name="a.warc")
    with pytest.raises(InputError, match=r"a\.warc\.gz: the file is damaged or incomplete"):
        read(gzip.compress(content), "warc", name="a.warc.gz")
    with pytest.raises(InputError, match=r"a\.warc\.gz: the file is damaged or incomplete"):
        read(gzip.compress(ARCHIVE * 50)[:-20], "warc", name="a.warc.gz")
