"""A small corpus in which every kind of filter drops something, and settings that do so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.tiny import config_values, write_tokenizer

FILTERS = {
    "presets": ["gopher_repetition", "c4"],
    "languages": ["en"],
    "minimum_words": 8,
    "maximum_characters": 600,
    "blocklist": ["casino bonus"],
    "thresholds": {"c4_sentences": 1},
}
GOOD = (
    "The river was high in {0} and we waited {1} days before the boat could cross to the other side.",
    "My brother keeps {0} hens behind the house, and every morning he sells {1} eggs at the market.",
    "In the year {0} the old library was closed, but {1} of its books are still read by the children.",
    "She walked {0} miles along the coast until the storm came and then slept {1} hours in a barn.",
)
REPEATED = "buy the same cheap watches here and now. " * 8


def write_dirty_world(root: Path, **filters: Any) -> str:
    """A corpus of 80 good documents and 12 of other kinds, and its pipeline; returns the config's path."""
    good = [GOOD[number % 4].format(1900 + number, number % 7 + 2) for number in range(80)]
    others = [
        "Too short to keep.",
        "Short again, sadly.",
        "Das Wetter war schön und wir machten einen langen Spaziergang am Ufer des Flusses entlang.",
        "Il faisait beau et nous avons fait une longue promenade le long de la rivière avec nos amis.",
        "12 34 56 78 90 12 34 56 78 90 12 34",
        "Get your Casino  Bonus today, because this is the offer of the year and it ends at midnight.",
        REPEATED,
        "The function was written as void f() { return; } and nobody in the office knew what it was for.",
        "This page was left empty by its owner, lorem ipsum dolor sit amet, and it will be filled later on.",
        " ".join(f"It was a fine day in the year {1000 + year} and nobody complained." for year in range(12)),
        good[0],
        good[1],
    ]
    rows = [{"id": f"u{number}", "text": text} for number, text in enumerate(good + others)]
    (root / "corpus").mkdir(parents=True, exist_ok=True)
    lines = [*map(json.dumps, rows), "{broken", json.dumps({"id": "blank", "text": " "})]
    (root / "corpus" / "d.jsonl").write_text("\n".join(lines) + "\n")
    write_tokenizer(root / "tokenizer")
    (root / "tokenizer" / "config.json").write_text("{}")
    (root / "unseen.txt").write_text("good film\n")
    source = {"name": "d", "path": str(root / "corpus" / "d.jsonl"), "format": "jsonl", "id_column": "id"}
    values = config_values(root, filters={**FILTERS, **filters})
    values["preprocess"]["inputs"] = [source]
    (root / "dirty.yaml").write_text(yaml.safe_dump(values))
    return str(root / "dirty.yaml")
