"""Web archives for tests, written by hand."""

from __future__ import annotations

PAGE = "<html><head><title>T</title></head><body><nav><a href=x>menu</a></nav><main><p>{}</p></main></body></html>"


def record(kind: str, uri: str, block: bytes, content_type: str = "application/http; msgtype=response") -> bytes:
    """One WARC record."""
    header = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {uri}\r\nWARC-Date: 2024-01-02T03:04:05Z\r\n"
        f"WARC-Record-ID: <urn:uuid:{uri}>\r\nContent-Type: {content_type}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return header.encode() + block + b"\r\n\r\n"


def response(
    uri: str, body: bytes, *, content_type: str = "text/html; charset=utf-8", status: str = "200 OK", extra: str = ""
) -> bytes:
    """A response record; `extra` are further HTTP header lines, each with its line end."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return record("response", uri, head.encode() + body)


def page(uri: str, text: str) -> bytes:
    """A response record of an HTML page whose main text is this one."""
    return response(uri, PAGE.format(text).encode())


def info() -> bytes:
    """The record that archives begin with."""
    return record("warcinfo", "info", b"software: tests\r\n", "application/warc-fields")


def request(uri: str) -> bytes:
    """The request of a page."""
    return record("request", uri, b"GET / HTTP/1.1\r\n\r\n", "application/http; msgtype=request")
