"""Redaction: what is personal data goes, what only looks like it stays."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mapring.redaction import ORDER, Kind, redact


def one(text: str, *kinds: Kind) -> str:
    result: str = redact(pa.array([text]), kinds or ORDER).to_pylist()[0]
    return result


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("write to jo.e+x@mail.example.co.uk, please", "write to <email>, please"),
        ("not@an address, nor @handle", "not@an address, nor @handle"),
        ("card 4111 1111 1111 1111 is a test", "card <card> is a test"),
        ("4111-1111-1111-1112 has a wrong check digit", "4111-1111-1111-1112 has a wrong check digit"),
        ("0000000000000000 is none", "0000000000000000 is none"),
        ("host 192.168.0.1 and 2001:db8::ff00:42:8329.", "host <ip> and <ip>."),
        ("version 1.2.3 of 10:30:15, or 256.1.1.1", "version 1.2.3 of 10:30:15, or 256.1.1.1"),
        ("call +44 20 7946 0958 or (030) 901820 now", "call <phone> or <phone> now"),
        ("or 555-123-4567, or 0049 30 901820", "or <phone>, or <phone>"),
        ("on 2024-01-31, order 12345678, 3.14159265", "on 2024-01-31, order 12345678, 3.14159265"),
    ],
)
def test_redact(raw: str, expected: str) -> None:
    assert one(raw) == expected
    assert one(expected) == expected


def test_only_the_kinds_asked_for_go() -> None:
    text = "a@b.org 10.0.0.1"
    assert one(text, "ip") == "a@b.org <ip>"
    assert one(text, "email") == "<email> 10.0.0.1"


def test_nulls_stay_and_order_changes_nothing() -> None:
    texts = ["a@b.org", None, "x", "c@d.org 10.0.0.1"]
    there = redact(pa.array(texts), ORDER).to_pylist()
    back = redact(pa.array(texts[::-1]), ORDER).to_pylist()
    assert there == ["<email>", None, "x", "<email> <ip>"] == back[::-1]
