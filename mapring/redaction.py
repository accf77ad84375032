"""Personal data out of texts, before anything is stored: e-mail and IP addresses, phone and card numbers.

A replacement is the kind in angle brackets, the same everywhere: it does not depend on what else
stands in the text or the corpus, and tells nothing about what it replaces.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal["email", "ip", "phone", "card"]
ORDER: tuple[Kind, ...] = ("email", "card", "ip", "phone")  # cards and addresses before what could be a phone number

_EMAIL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)+[A-Za-z]{2,24}\b")
_IP = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:]))"
)
_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")
# International with + or 00, or national with an area code in brackets or groups parted as phone numbers are.
_PHONE = re.compile(
    r"(?<![\w.+-])(?:(?:\+|00)[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,5}|\(\d{2,5}\)[ .-]?\d{2,4}(?:[ .-]?\d{2,4}){1,3}"
    r"|\d{3}[ .-]\d{3}[ .-]\d{4})(?![\w-]|\.\d)"
)


def redact(texts: pa.StringArray, kinds: Collection[Kind]) -> pa.StringArray:
    """Replace what is found of these kinds; nulls stay null. Idempotent.

    Card numbers have 13 to 19 digits and a true check digit (Luhn, ISO/IEC 7812-1); IPv4 addresses octets
    up to 255, IPv6 ones a form that parses; phone numbers 8 to 15 digits (ITU-T E.164), a plus sign, two zeros,
    an area code in brackets, or the groups 3-3-4. Plain long numbers, dates and versions stay.
    """
    for kind in ORDER:
        if kind in kinds:
            texts = _replace(texts, *_KINDS[kind])
    return texts


def _replace(
    texts: pa.StringArray, needed: str, pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str]
) -> pa.StringArray:
    """Touch only the texts in which a cheap search finds what the pattern needs."""
    suspects = pc.fill_null(pc.match_substring_regex(texts, needed), False)
    if not pc.any(suspects).as_py():
        return texts
    found: Iterable[str] = texts.filter(suspects).to_pylist()
    replaced = pa.array([pattern.sub(replacement, text) for text in found], texts.type)
    return pc.replace_with_mask(texts, suspects, replaced)


def _card(match: re.Match[str]) -> str:
    digits = [int(character) for character in match[0] if character.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    is_card = (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1
    return "<card>" if is_card else match[0]


def _ip(match: re.Match[str]) -> str:
    try:
        ipaddress.ip_address(match[0])
    except ValueError:
        return match[0]
    return "<ip>"


def _phone(match: re.Match[str]) -> str:
    digits = sum(character.isdigit() for character in match[0]) - 2 * match[0].startswith("00")
    return "<phone>" if 8 <= digits <= 15 else match[0]


# For each kind: what any text with one holds (RE2), the pattern, and what a match becomes.
_KINDS: dict[Kind, tuple[str, re.Pattern[str], Callable[[re.Match[str]], str]]] = {
    "email": ("@", _EMAIL, lambda _: "<email>"),
    "card": (r"\d(?:[ -]?\d){12}", _CARD, _card),
    "ip": (r"\d\.\d{1,3}\.\d|:[0-9A-Fa-f]{0,4}:", _IP, _ip),
    "phone": (r"\d[ .)-]*\d[ .)-]*\d", _PHONE, _phone),
}
