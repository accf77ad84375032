"""Web archives (WARC): the main text of each HTML page, by fastwarc and resiliparse.

Every record that could be a page comes out: responses with status 200 and HTML as texts, all others with the
rule that drops them. Records about the crawl (warcinfo, request, metadata) are no documents and are not counted.
A record's number is its place among all records of the file, from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

from mapring import compressed
from mapring.settings.inputs import Input
from spark_jobs.formats.raw import HTTP_STATUS, MALFORMED, NOT_HTML, RawRecord, RecordError
from spark_jobs.segments import Segment

_ABOUT_THE_CRAWL = WarcRecordType.warcinfo | WarcRecordType.request | WarcRecordType.metadata
_HTML = ("text/html", "application/xhtml+xml")
_URI = "WARC-Target-URI"
_NEEDED = ("WARC-Type", "WARC-Record-ID", "Content-Length")


class _Counted:
    """A stream that knows its position, for fastwarc; streams that decompress do not."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle, self._position = handle, 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        content = self._handle.read(size)
        self._position += len(content)
        return content

    def tell(self) -> int:
        """Bytes read so far."""
        return self._position


def read_warc(segment: Segment) -> Iterator[RawRecord]:
    """A record for each page of the archive. Raises OSError where the archive is damaged or cut off."""
    with compressed.open_text_bytes(segment.uri) as handle:
        records = ArchiveIterator(_Counted(handle), parse_http=False, stream_detect=False)  # type: ignore[arg-type]
        for number, record in enumerate(records, 1):
            block = _block(record, number)
            if record.record_type & _ABOUT_THE_CRAWL:
                continue
            values = _fields(record, segment.source)
            try:
                yield RawRecord(number, text=_page(record, block), **values)
            except RecordError as problem:
                yield problem.to_record(number, values["source_id"])


def _block(record: WarcRecord, number: int) -> bytes:
    """The whole record's bytes; fastwarc itself ends silently where a file was cut off."""
    missing = [name for name in _NEEDED if name not in record.headers]
    if missing:
        raise OSError(f"WARC record {number} has no {missing[0]}")
    block = record.reader.read()
    if len(block) != record.content_length:
        raise OSError(f"WARC record {number} has {len(block)} bytes, its header says {record.content_length}")
    return block


def _fields(record: WarcRecord, source: Input) -> dict[str, Any]:
    """Header fields that stand for columns."""
    return {
        "source_id": _field(record, source.id_column or _URI),
        "label": _field(record, source.label_column),
        "time": _field(record, source.time_column),
        "group": _field(record, source.group_column),
        "features": [_field(record, name) for name in source.feature_columns] if source.feature_columns else None,
    }


def _field(record: WarcRecord, name: str | None) -> str | None:
    """A header field; the address without the brackets that WARC 1.0's grammar (and so wget) puts around it."""
    value: str | None = record.headers.get(name) if name else None
    if value and (name or "").lower() == _URI.lower() and value.startswith("<") and value.endswith(">"):
        return value[1:-1]
    return value


def _page(record: WarcRecord, block: bytes) -> str:
    """The main text of a page. Raises RecordError where the record holds none."""
    if not record.record_type & WarcRecordType.response:
        raise RecordError(NOT_HTML, f"found a {record.headers.get('WARC-Type')} record, expected a response")
    if not record.is_http:
        raise RecordError(NOT_HTML, f"found {record.headers.get('Content-Type')!r}, expected an HTTP response")
    response = WarcRecord()  # of its own: a page that cannot be decoded would end the iteration over the archive
    response.init_headers(WarcRecordType.response, content_length=len(block))
    response.is_http = True
    response.set_bytes_content(block)
    try:
        response.parse_http(auto_decode="all")
        status, kind = response.http_headers.status_code, (response.http_content_type or "").lower()
    except (OSError, ValueError) as error:
        raise RecordError(MALFORMED, f"not a sound HTTP response: {error}") from None
    if status is None:
        raise RecordError(MALFORMED, "not an HTTP response: found no status line")
    if status != 200:
        raise RecordError(HTTP_STATUS, f"found status {status}, expected 200")
    if kind not in _HTML:
        raise RecordError(NOT_HTML, f"found {kind or 'no content type'}, expected text/html")
    return extract_plain_text(_html(response), main_content=True)


def _html(response: WarcRecord) -> str:
    """The page in the encoding that it declares or looks like; other bytes become U+FFFD, as in browsers."""
    try:
        body = response.reader.read()
    except (OSError, ValueError) as error:
        raise RecordError(MALFORMED, f"the page cannot be decoded: {error}") from None
    declared = map_encoding_to_html5(response.http_charset or "", fallback_utf8=False)
    encoding = declared or detect_encoding(body, from_html_meta=True) or "utf-8"
    return bytes_to_str(body, encoding, errors="replace", fallback_encodings=())
