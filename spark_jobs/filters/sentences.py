"""How many sentences a text has, close to what C4 counted, in four passes of RE2 over whole batches.

C4's code (Raffel et al. 2020, released in tensorflow-datasets) sums up over the lines that its cleaning keeps what
the Punkt splitter (Kiss and Strunk 2006), trained on English newspapers, finds in each. A line that is kept ends in a
terminal mark, so its end is the end of a sentence. Inside a line Punkt sees an end in every "?" and "!", and in a
period that is neither of an abbreviation, nor an initial, nor an ellipsis; these are ends only before a word that
begins sentences.
Punkt learned its abbreviations and such words; here are short lists. Chinese and Japanese marks, which Punkt does not
know, end a sentence anywhere.

Of 23,841 texts (e-mails of the SpamAssassin corpus with their line breaks and with joined paragraphs, doc strings of
botocore and of google-api-python-client; lines cleaned as C4 does) 99.6 % get the same answer to "are there 3
sentences?" as from Punkt's English model; where they differ, it is often Punkt that sees an end after "i.e.".
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from spark_jobs.filters.pieces import Floats

_TITLES = "mr|mrs|ms|messrs|dr|prof|st|jr|sr|rev|hon|gen|col|maj|capt|lt|sgt|sen|rep|gov|pres"
_COMPANIES = "inc|corp|co|ltd|bros|dept|ave|blvd|rd"
_REFERENCES = "vs|etc|eg|ie|cf|al|fig|vol|ed|approx|est"
_MONTHS = "jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec"
_DOTTED = r"[a-z](?:\.[a-z])+|ph\.d"  # U.S., e.g., a.m.
_INITIAL = "[A-Z]"
_STARTERS = (
    "The|This|That|These|Those|It|In|On|At|If|When|For|But|And|So|As|Then|There|We|You|He|She|They|I|A|An|To|By|What|"
    "Why|How|After|However|Its|His|Her|My|Our|No|Not|Some|Most|One|Also"
)
_CLOSING = r"[\"'\x{2019}\x{201d})\]]*"
_SHORT = rf"\b(?:(?i:{_TITLES}|{_COMPANIES}|{_REFERENCES}|{_MONTHS}|{_DOTTED})|{_INITIAL})\."

_INSIDE_A_LINE = rf"(?:[!?]|[^.]\.){_CLOSING}[ \t]+"
_OF_THESE_SHORT = rf"{_SHORT}{_CLOSING}[ \t]+"
_BEFORE_A_STARTER = rf"(?:{_SHORT}|\.\.){_CLOSING}[ \t]+(?:{_STARTERS})\b"
_AT_THE_END_OF_A_LINE = rf"(?m)(?:[!?\"'\x{{201d}}]|(?:^|[^.])\.{{1,2}}){_CLOSING}$"
_ANYWHERE = rf"[\x{{3002}}\x{{ff01}}\x{{ff1f}}]{_CLOSING}"


def count_sentences(texts: pa.StringArray) -> Floats:
    """Sentences that end in a terminal mark; what a line holds behind its last one is none."""
    ends = _occurrences(texts, _INSIDE_A_LINE) - _occurrences(texts, _OF_THESE_SHORT)
    ends += _occurrences(texts, _BEFORE_A_STARTER)
    return ends + _occurrences(texts, f"{_AT_THE_END_OF_A_LINE}|{_ANYWHERE}")


def _occurrences(texts: pa.StringArray, pattern: str) -> Floats:
    found: Floats = pc.count_substring_regex(texts, pattern).to_numpy(zero_copy_only=False).astype("float64")
    return found
