"""One corpus with every kind of dirt that a record can have, an input for each kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.tiny import config_values, sentence, write_tokenizer

GOOD = 240
_FILES = {
    "good": ("text", "\n".join(sentence(number)[0] for number in range(GOOD)).encode()),
    "utf8": ("text", b"before invalid bytes\nb\xffd\nafter invalid bytes\n"),
    "nul": ("jsonl", b'{"text": "escaped\\u0000nul"}\n{"text": "raw\0nul"}\n{"text": "fine nul"}\n'),
    "surrogate": ("jsonl", b'{"text": "\\ud800"}\n{"text": "\\ud83d\\ude00 a whole pair"}\n'),
    "ragged": ("csv", b"id,text\n1,a whole row\n2,one,too many\n3\n4,another whole row\n"),
    "empty": ("text", b""),
    "ids": ("jsonl", b"".join(json.dumps({"id": 7, "text": f"same id {n}"}).encode() + b"\n" for n in range(2))),
}


def write_dirty_world(root: Path) -> str:
    """Write corpus, tokenizer and pipeline below `root` unless they are there; returns the pipeline's path."""
    config = root / "dirty.yaml"
    if config.exists():
        return str(config)
    (root / "corpus").mkdir(parents=True)
    for name, (_, content) in _FILES.items():
        (root / "corpus" / name).write_bytes(content)
    write_tokenizer(root / "tokenizer")
    (root / "tokenizer" / "config.json").write_text("{}")
    (root / "unseen.txt").write_text("good film\n")
    inputs: list[dict[str, Any]] = [
        {"name": name, "path": str(root / "corpus" / name), "format": file_format}
        for name, (file_format, _) in _FILES.items()
    ]
    for source in inputs:
        if source["name"] in ("ids", "ragged"):
            source["id_column"] = "id"
    values = config_values(root, inputs=inputs)
    values["spark"] = {"master": "local[2]", "partitions": 2, "split_bytes": 2048}
    config.write_text(yaml.safe_dump(values))
    return str(config)
