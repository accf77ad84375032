"""What datatrove does of a benchmark.

`python datatrove_pipeline.py neardup|full INPUT OUTPUT [TOKENIZER LANGUAGE_MODEL]`

Runs in a venv of its own with datatrove's processing extras, spacy and orjson. As its documentation advises: one
task for each input file or bucket, as many workers as cores, uncompressed output, logs at its default.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer, DocumentTokenizerMerger
from datatrove.pipeline.writers import JsonlWriter

WORKERS = len(os.sched_getaffinity(0))
CONFIG = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)


def run(steps: list[object], tasks: int, logs: Path) -> None:
    """Run one pipeline to its end."""
    LocalPipelineExecutor(pipeline=steps, tasks=tasks, workers=min(tasks, WORKERS), logging_dir=str(logs)).run()


def deduplicate(source: Path, output: Path, tasks: int, last: list[object]) -> None:
    """The four stages of its MinHash deduplication; `last` are the steps after the filter."""
    read = JsonlReader(str(source), glob_pattern="*.jsonl")
    run([read, MinhashDedupSignature(str(output / "signatures"), config=CONFIG)], tasks, output / "logs1")
    buckets = MinhashDedupBuckets(str(output / "signatures"), str(output / "buckets"), config=CONFIG)
    run([buckets], CONFIG.num_buckets, output / "logs2")
    cluster = MinhashDedupCluster(str(output / "buckets"), str(output / "remove"), config=CONFIG)
    run([cluster], 1, output / "logs3")
    run([read, MinhashDedupFilter(str(output / "remove")), *last], tasks, output / "logs4")


def filter_documents(source: Path, output: Path, tasks: int) -> None:
    """Normalize, then all filters with their published thresholds, in the order of the FineWeb recipe."""
    steps = [
        JsonlReader(str(source), glob_pattern="*.jsonl"),
        FTFYFormatter(),
        LanguageFilter("en"),
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(min_num_sentences=3, min_words_per_line=5),
        FineWebQualityFilter(),
        PIIFormatter(),
        _writer(output),
    ]
    run(steps, tasks, output.with_name("logs0"))


def place_language_model(model: Path) -> None:
    """Put a fastText lid.176 model where datatrove would download it to."""
    from datatrove.io import strip_protocol
    from datatrove.utils.lid import FT176LID
    from huggingface_hub import cached_assets_path

    folder = cached_assets_path(library_name="datatrove", namespace="lid", subfolder=FT176LID.MODEL_SUBFOLDER)
    target = Path(folder, strip_protocol(FT176LID.MODEL_URL).replace("/", "_"))
    if not target.exists():
        target.write_bytes(model.read_bytes())
        target.with_name(target.name + ".completed").write_text("")


def _writer(folder: Path) -> JsonlWriter:
    return JsonlWriter(str(folder), output_filename="${rank}.jsonl", compression=None)


def main() -> None:
    """Run what the command line asks for."""
    what, source, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    tasks = len(list(source.glob("*.jsonl")))
    if what == "neardup":
        deduplicate(source, output, tasks, [_writer(output / "kept")])
        return
    tokenizer, model = sys.argv[4:6]
    place_language_model(Path(model))
    filtered = output / "filtered"
    filter_documents(source, filtered, tasks)
    tokens = DocumentTokenizer(
        str(output / "tokens"), tokenizer_name_or_path=f"{tokenizer}/tokenizer.json", eos_token="[SEP]", seed=17
    )
    deduplicate(filtered, output, tasks, [tokens])
    merge = DocumentTokenizerMerger(str(output / "tokens"), str(output / "merged"), "corpus", seed=17, progress=False)
    run([merge], 1, output / "logs5")


if __name__ == "__main__":
    main()
