"""Tiny but real inputs for tests: a tokenizer, and a corpus with every kind of dirt."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = {
    "negative": ("bad", "awful", "sad", "poor", "dull"),
    "neutral": ("table", "paper", "street", "window", "number"),
    "positive": ("good", "great", "happy", "lovely", "bright"),
}
FILLERS = ("the", "a", "was", "is", "and", "with", "very", "day", "film", "they")


def write_tokenizer(directory: Path) -> Path:
    """A WordPiece tokenizer over the words above and single letters and digits."""
    directory.mkdir(parents=True, exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'"
    words = [*SPECIAL, *FILLERS, *(word for group in WORDS.values() for word in group), *letters]
    vocabulary = {word: index for index, word in enumerate([*words, *(f"##{letter}" for letter in letters)])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "pad_token": "[PAD]",
                "unk_token": "[UNK]",
                "cls_token": "[CLS]",
                "sep_token": "[SEP]",
                "mask_token": "[MASK]",
                "model_max_length": 64,
            }
        )
    )
    return directory


def sentence(number: int) -> tuple[str, str]:
    """A text and its label, all different for different numbers."""
    label = sorted(WORDS)[number % 3]
    words = [WORDS[label][number // 3 % 5], *(FILLERS[number // 7**power % 10] for power in range(1 + number % 9))]
    return f"{' '.join(words)} {number}", label


def write_corpus(directory: Path, documents: int = 300) -> dict[str, int]:
    """Four dirty files of about `documents` good texts; returns the counts that preprocessing must find."""
    directory.mkdir(parents=True, exist_ok=True)
    good = [sentence(number) for number in range(documents)]
    quarter = documents // 4
    csv_lines = ["id,text,label", *(f"c{i},{text},{label}" for i, (text, label) in enumerate(good[:quarter]))]
    csv_lines += [
        'q1,"two\nlines, quoted",neutral',
        "ragged,row",
        "dup,good the 3 ,positive",
        "dup2,good  the 3,positive",
    ]
    (directory / "a.csv").write_bytes("\n".join(csv_lines).encode() + b"\nbad,b\xffd,neutral\n")
    json_lines = [json.dumps({"text": text, "label": label}) for text, label in good[quarter : 2 * quarter]]
    json_lines += ["{broken", json.dumps({"text": " \t ", "label": "neutral"}), json.dumps({"text": "no label here"})]
    (directory / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(json_lines).encode(), mtime=0))
    tsv_lines = ["text\tlabel", *(f"{text}\t{label}" for text, label in good[2 * quarter : 3 * quarter])]
    tsv_lines += [f"{good[0][0].upper()}\t{good[0][1]}", f"{good[1][0]}\t{good[1][1]}"]
    (directory / "c.tsv").write_text("\n".join(tsv_lines) + "\n")
    import pyarrow as pa
    import pyarrow.parquet as pq

    rest = good[3 * quarter :]
    table = pa.table({"text": [text for text, _ in rest], "label": [label for _, label in rest]})
    pq.write_table(table, directory / "d.parquet", row_group_size=20)
    return {
        "read": documents + 5 + 3 + 2,
        "kept": documents + 3,
        "malformed_record": 2,
        "undecodable_bytes": 1,
        "empty_text": 1,
        "missing_label": 1,
        "exact_duplicate": 2,
    }


def config_values(root: Path, **preprocess: Any) -> dict[str, Any]:
    """Settings over `root/corpus`, `root/tokenizer` and `root/unseen.txt`."""
    formats = {"a": "a.csv", "b": "b.jsonl.gz", "c": "c.tsv", "d": "d.parquet"}
    inputs = [
        {
            "name": name,
            "path": str(root / "corpus" / file),
            "format": {"a": "csv", "b": "jsonl", "c": "tsv", "d": "parquet"}[name],
            "label_column": "label",
            **({"id_column": "id"} if name == "a" else {}),
        }
        for name, file in formats.items()
    ]
    return {
        "name": "tiny",
        "run_dir": str(root / "run"),
        "preprocess": {
            "inputs": inputs,
            "tokenizer": str(root / "tokenizer"),
            "max_length": 32,
            "lanes": 4,
            "rows_per_row_group": 8,
            "rows_per_shard": 40,
            "splits": {"validation": 0.1, "test": 0.2},
            **preprocess,
        },
        "train": {"model": str(root / "tokenizer"), "global_batch": 16},
        "score": {"inputs": [{"name": "unseen", "path": str(root / "unseen.txt"), "format": "text"}]},
        "spark": {"master": "local[2]"},
    }


def write_world(root: Path, **preprocess: Any) -> tuple[str, dict[str, int]]:
    """A corpus, a tokenizer, an unseen file and a config; returns the config's path and the expected counts."""
    counts = write_corpus(root / "corpus")
    write_tokenizer(root / "tokenizer")
    (root / "tokenizer" / "config.json").write_text("{}")
    (root / "unseen.txt").write_text("good film\nawful day\n")
    config = root / "tiny.yaml"
    config.write_text(yaml.safe_dump(config_values(root, **preprocess)))
    return str(config), counts
