"""The doc strings of two packages as a corpus: real English prose with many exact and near duplicates.

botocore and google-api-python-client (both Apache-2.0) describe every call of two clouds: about 204,000 texts of at
least 120 characters, 65 MB, half of them exact copies across versions. Larger volumes are made of *perturbed*
copies: in copy k a third of the vocabulary has other words, so that a copy has the same duplicates inside as
the original, and shares hardly a 5-gram in five with it.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
PACKAGES = {"botocore": "1.44.5", "google-api-python-client": "2.202.0"}
_LEAST_CHARACTERS = 120
_DOCUMENTS_PER_FILE = 25_000
_TAG = re.compile(r"<[^>]*>")
_WORD = re.compile(r"[A-Za-z]{3,}")


def doc_strings(copies: int = 1) -> Path:
    """A directory of jsonl files (`id`, `text`) with the corpus `copies` times, made once."""
    target = FOLDER / f"doc-strings-{copies}x"
    done = target / "_COMPLETE"
    if done.exists():
        return target
    texts = [text for name, version in PACKAGES.items() for text in _texts_of(_wheel(name, version))]
    target.mkdir(parents=True, exist_ok=True)
    for copy in range(copies):
        for start in range(0, len(texts), _DOCUMENTS_PER_FILE):
            part = texts[start : start + _DOCUMENTS_PER_FILE]
            lines = (
                json.dumps({"id": f"{copy}-{start + offset}", "text": perturb(text, copy)}, ensure_ascii=False)
                for offset, text in enumerate(part)
            )
            (target / f"part-{copy:02d}-{start:07d}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    done.write_text("")
    return target


def perturb(text: str, copy: int) -> str:
    """The text of a copy: copy 0 is the original; in the others a third of the vocabulary is spelled otherwise."""
    return text if copy == 0 else _WORD.sub(lambda match: _other_word(match[0], copy), text)


def _other_word(word: str, copy: int) -> str:
    digest = hashlib.blake2b(f"{copy}:{word.lower()}".encode(), digest_size=4).digest()
    if digest[0] % 3:
        return word
    return f"{word}{''.join(chr(97 + byte % 26) for byte in digest[1:3])}"


def _wheel(name: str, version: str) -> Path:
    """The package's wheel, downloaded once."""
    folder = FOLDER / "wheels"
    found = list(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        subprocess.run([*words, f"{name}=={version}"], check=True)
        found = list(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
    return found[0]


def _texts_of(wheel: Path) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if re.search(r"botocore/data/.*/service-2\.json(\.gz)?$", name):
                content = archive.read(name)
                key = "documentation"
            elif re.search(r"discovery_cache/documents/.*\.json$", name):
                content = archive.read(name)
                key = "description"
            else:
                continue
            value = json.loads(gzip.decompress(content) if name.endswith(".gz") else content)
            for text in _strings_of(value, key):
                plain = " ".join(html.unescape(_TAG.sub(" ", text)).split())
                if len(plain) >= _LEAST_CHARACTERS:
                    yield plain


def _strings_of(value: Any, key: str) -> Iterator[str]:
    """All strings that stand under a key, at any depth, in order."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key and isinstance(inner, str):
                yield inner
            else:
                yield from _strings_of(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings_of(inner, key)
