"""Redaction: what is personal data goes, what only looks like it stays."""

from __future__ import annotations

import time

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
        # beside letters of scripts without spaces, and within Markdown
        ("请发邮件到john@example.com联系我", "请发邮件到<email>联系我"),
        ("メールjohn@example.comまで", "メール<email>まで"),
        ("_john@example.com_ and __10.0.0.1__", "_<email>_ and __<ip>__"),
        ("服务器10.0.0.1是, 192.168.1.1です, 2001:db8::1です", "服务器<ip>是, <ip>です, <ip>です"),
        ("請致電(02)2345-6789找我", "請致電<phone>找我"),
        ("電話+49 170 1234567まで", "電話<phone>まで"),
        ("in img_0012345678 and v_1.2.3.4", "in img_0012345678 and v_1.2.3.4"),
        # beside other numbers
        ("card 4111 1111 1111 1111 12/25", "card <card> 12/25"),
        ("4111 1111 1111 1111 123", "<card> 123"),
        ("4111-1111-1111-1111 1225 123", "<card> 1225 123"),
        ("order 77 4111 1111 1111 1111", "order 77 <card>"),
        ("3782 822463 10005 1234", "<card> 1234"),
        ("4111111111111111 12 5500 0000 0000 0004", "<card> 12 <card>"),
        ("id-4111 1111 1111 1111-7", "id-4111 1111 1111 1111-7"),
        ("in 2016 2017 2018 2019 2020 2021 2022", "in 2016 2017 2018 2019 2020 2021 2022"),
        ("+49 170 1234567 2024", "<phone> 2024"),
        ("+49 170 1234567890 555 123 4567", "<phone> <phone>"),
        ("(030) 1234567+49 30 123456 and (030) 901820(030) 901821", "<phone><phone> and <phone><phone>"),
        # IPv4 addresses written as IPv6 ones, and colons that are none
        ("from ::ffff:10.0.0.1: refused, [::ffff:10.0.0.1]:80", "from <ip>: refused, [<ip>]:80"),
        ("map :: Int, std::string", "map :: Int, std::string"),
        # behind labels
        ("client:10.0.0.1:80 node:10.0.0.2", "client:<ip>:80 node:<ip>"),
        ("src:2001:db8::1 ip:::1 interface:fe80::1", "src:<ip> ip:<ip> interface:<ip>"),
        ("time:10:30:15 and ratio:1:2", "time:10:30:15 and ratio:1:2"),
    ],
)
def test_redact(raw: str, expected: str) -> None:
    assert one(raw) == expected
    assert one(expected) == expected


@pytest.mark.parametrize("part", ["4111 ", "1 ", "4111-", "+49 1 2 3 ", "1.", "a:", "a@", "(02)", "00"])
def test_time_grows_with_the_length_of_a_text(part: str) -> None:
    """Less than a second; a pattern that reads again for each character what it has read would take minutes."""
    begun = time.monotonic()
    one(part * 20_000)
    assert time.monotonic() - begun < 20


def test_only_the_kinds_asked_for_go() -> None:
    text = "a@b.org 10.0.0.1"
    assert one(text, "ip") == "a@b.org <ip>"
    assert one(text, "email") == "<email> 10.0.0.1"


def test_nulls_stay_and_order_changes_nothing() -> None:
    texts = ["a@b.org", None, "x", "c@d.org 10.0.0.1"]
    there = redact(pa.array(texts), ORDER).to_pylist()
    back = redact(pa.array(texts[::-1]), ORDER).to_pylist()
    assert there == ["<email>", None, "x", "<email> <ip>"] == back[::-1]
