"""Settings of what happens to a document's characters, before training and at scoring alike."""

from __future__ import annotations

from typing import Literal

from mapring.settings.base import Section, output

UnicodeForm = Literal["NFC", "NFKC"]


class Normalization(Section):
    """Steps in their order; all but the Unicode form and the white space can be left out."""

    fix_mojibake: bool = output(False, description="Repair text that was decoded with the wrong encoding.")
    unescape_html: bool = output(False, description="Replace HTML entities such as &amp; by their characters.")
    unicode_form: UnicodeForm = output("NFC", description="Unicode normalization form.")
    lowercase: bool = output(False, description="Lower-case everything.")
    keep_lines: bool = output(
        False, description="Keep line breaks, and one empty line between paragraphs; else all white space is one space."
    )
    redact: tuple[Literal["email", "ip", "phone", "card"], ...] = output(
        (), description="Personal data to replace by <email>, <ip>, <phone>, <card>."
    )
