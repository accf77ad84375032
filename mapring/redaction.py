"""Personal data out of texts, before anything is stored: e-mail and IP addresses, phone and card numbers.

A replacement is the kind in angle brackets, the same everywhere: it does not depend on what else
stands in the text or the corpus, and tells nothing about what it replaces.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal["email", "ip", "phone", "card"]
ORDER: tuple[Kind, ...] = ("email", "card", "ip", "phone")  # cards and addresses before what could be a phone number

# Words are of ASCII here: a number or an address may touch letters of scripts that put no spaces between words, and the
# underscores of Markdown; but an underscore between ASCII letters or digits is part of a name.
_BEFORE = r"(?<![A-Za-z\d.+-])(?<![A-Za-z\d]_)"
_BEHIND = r"(?![A-Za-z\d]|_[A-Za-z\d])"
_IPV4 = r"\d{1,3}(?:\.\d{1,3}){3}"

_EMAIL = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
# An IPv6 address begins behind no colon, but for that of a label such as `client:`, one of whose last five letters is
# no hexadecimal digit.
_IPV6_BEGINS = "|".join(["(?<!:)", *(rf"(?<=[G-Zg-z][A-Za-z]{{{letters}}}:)" for letters in range(5))])
_IP = re.compile(
    rf"(?<![A-Za-z\d.])(?<![A-Za-z\d]_)(?:{_IPV4}{_BEHIND}(?!\.\d)"
    rf"|(?:{_IPV6_BEGINS})(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:{_IPV4}{_BEHIND}|[0-9A-Fa-f]{{0,4}}{_BEHIND}(?!:)))"
)
_DIGITS = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,}")
# International with + or 00, or national with an area code in brackets or groups parted as phone numbers are.
_NUMBER = (
    r"(?:(?:\+|00)[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,5}"
    r"|\(\d{2,5}\)[ .-]?\d{2,4}(?:[ .-]?\d{2,4}){1,3}"
    rf"|\d{{3}}[ .-]\d{{3}}[ .-]\d{{4}}){_BEHIND}(?!-|\.\d)"
)
_PHONE, _NEXT_PHONE = re.compile(_BEFORE + _NUMBER), re.compile(_NUMBER)

# How numbers are printed on cards, and with which digits issuers let them begin: by both a card is told from the
# numbers beside it, such as its expiry date.
_CARD_GROUPS = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 3), (4, 4, 4, 4, 3), (6, 13)})
_ISSUER = re.compile(r"[3-6]|2(?:20[0-4]|22[1-9]|2[3-9]|[3-6]|7[01]|720)")
_LEAST_DIGITS, _MOST_DIGITS, _MOST_GROUPS = 13, 19, 5


def redact(texts: pa.StringArray, kinds: Collection[Kind]) -> pa.StringArray:
    """Replace what is found of these kinds; nulls stay null. Idempotent.

    Card numbers have 13 to 19 digits and a true check digit (Luhn, ISO/IEC 7812-1); IPv4 addresses octets
    up to 255, IPv6 ones a form that parses; phone numbers 8 to 15 digits (ITU-T E.164), a plus sign, two zeros,
    an area code in brackets, or the groups 3-3-4. Plain long numbers, dates and versions stay, and so do numbers that
    stand beside a card or phone number.
    """
    for kind in ORDER:
        if kind in kinds:
            texts = _replace(texts, *_KINDS[kind])
    return texts


def _replace(texts: pa.StringArray, needed: str, replace: Callable[[str], str]) -> pa.StringArray:
    """Touch only the texts in which a cheap search finds what the pattern needs."""
    suspects = pc.fill_null(pc.match_substring_regex(texts, needed), False)
    if not pc.any(suspects).as_py():
        return texts
    found: Iterable[str] = texts.filter(suspects).to_pylist()
    replaced = pa.array([replace(text) for text in found], texts.type)
    return pc.replace_with_mask(texts, suspects, replaced)


def _cards(match: re.Match[str]) -> str:
    """A run of digits without the cards in it: first those that look like one, then whatever has a true check digit."""
    words = match[0].split(" ")
    first = int(match.string.endswith("-", 0, match.start()))  # what a hyphen joins to something else is part of an id
    last = len(words) - match.string.startswith("-", match.end())
    left: list[str] = []
    kept = words[:first]
    position = first
    while position < last:
        end = _end_of_printed_card(words, position, last)
        if end is None:
            left.append(words[position])
            position += 1
        else:
            kept += [*_without_numbers(left), "<card>"]
            left, position = [], end
    return " ".join([*kept, *_without_numbers(left), *words[max(first, last) :]])


def _end_of_printed_card(words: Sequence[str], begin: int, last: int) -> int | None:
    """Behind which word a card ends that begins with this one and looks like one; None where none does."""
    if not _ISSUER.match(words[begin]):
        return None
    groups: list[str] = []
    found = None
    for end in range(begin + 1, min(last, begin + _MOST_GROUPS) + 1):
        groups += words[end - 1].split("-")
        sizes = tuple(map(len, groups))
        if (len(sizes) == 1 or sizes in _CARD_GROUPS) and _is_card_number("".join(groups)):
            found = end
        if len(sizes) >= _MOST_GROUPS or sum(sizes) > _MOST_DIGITS:
            break
    return found


def _without_numbers(words: Sequence[str]) -> list[str]:
    """Words of digits, where from left to right as many as a card may have are held against their check digit."""
    kept: list[str] = []
    position = 0
    while position < len(words):
        end, number = position, ""
        while end < len(words) and len(number) + len(words[end].replace("-", "")) <= _MOST_DIGITS:
            number += words[end].replace("-", "")
            end += 1
        if len(number) < _LEAST_DIGITS:
            end = position + 1
        kept += ["<card>"] if _is_card_number(number) else words[position:end]
        position = end
    return kept


def _is_card_number(number: str) -> bool:
    if not _LEAST_DIGITS <= len(number) <= _MOST_DIGITS:
        return False
    digits = [int(character) for character in number]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def _ip(match: re.Match[str]) -> str:
    if not match[0].strip(":"):  # two colons alone are nobody's address
        return match[0]
    try:
        ipaddress.ip_address(match[0])
    except ValueError:
        return match[0]
    return "<ip>"


def _phones(text: str) -> str:
    """A text without its phone numbers; what stands behind one that is found is looked at again."""
    parts = []
    position = 0
    while match := _PHONE.search(text, position):
        length = _phone_length(match[0])
        parts += [text[position : match.start()], "<phone>" if length else match[0]]
        position = match.start() + (length or len(match[0]))
        while length and (match := _NEXT_PHONE.match(text, position)):  # as in tables whose cells were joined
            length = _phone_length(match[0])
            parts.append("<phone>" if length else match[0])
            position += length or len(match[0])
    return "".join([*parts, text[position:]])


def _phone_length(number: str) -> int:
    """How many characters of what may be more than a phone number are one, up to a space; 0 where none are."""
    while True:
        digits = sum(character.isdigit() for character in number) - 2 * number.startswith("00")
        if digits <= 15:
            return len(number) if digits >= 8 else 0
        number = number.rpartition(" ")[0]


# For each kind: what any text with one holds (RE2), and what takes them out of a text.
_KINDS: dict[Kind, tuple[str, Callable[[str], str]]] = {
    "email": ("@", partial(_EMAIL.sub, "<email>")),
    "card": (r"\d(?:[ -]?\d){12}", partial(_DIGITS.sub, _cards)),
    "ip": (r"\d\.\d{1,3}\.\d|:[0-9A-Fa-f]{0,4}:", partial(_IP.sub, _ip)),
    "phone": (r"\d[ .)-]*\d[ .)-]*\d", _phones),
}
