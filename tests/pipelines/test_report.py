"""The report: every part from published directories, missing parts said, text escaped, no network."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mapring.contract import FileEntry, Manifest, code_version, publish, read_manifest, utc_now, write_file
from mapring.contract.schemas import (
    CHARACTER_COUNTS,
    DROP,
    LABEL_COUNTS,
    LENGTH_COUNTS,
    MEASURE_COUNTS,
    MEASURED,
    MISTAKE,
    SHARD,
    SOURCE_COUNTS,
    TOP_TERMS,
)
from mapring.plan import Plan, make_plan
from pipelines import report
from pipelines.report import write_report
from pipelines.report_confusion import most_confused
from pipelines.report_corpus import gather_corpus
from pipelines.report_data import EXAMPLES, length_bins
from pipelines.report_scores import gather_scores, population_stability_index
from spark_jobs.tables import parquet_bytes
from tests.pipelines.committed import commit_answers
from tests.tiny import config_values, write_world

EVIL = "<script>alert('1')</script>"
LABELS = ["negative", "neutral", EVIL]
CONFUSION = [[8, 1, 1], [2, 5, 3], [0, 0, 10]]


class Page(HTMLParser):
    """What a browser would find: tags, links, texts, ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for key, value in attrs:
            if key in ("src", "href"):
                self.links.append(value or "")
            if key == "id":
                self.ids.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(plan: Plan) -> Page:
    write_report(plan)
    return Page(Path(plan.run.report).read_text())


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    config, _ = write_world(tmp_path)
    return make_plan(config)


def write_table(directory: str, path: str, rows: list[dict[str, object]], schema: pa.Schema) -> FileEntry:
    return write_file(directory, path, parquet_bytes(pa.Table.from_pylist(rows, schema=schema), 100), len(rows))


def drop(record: int, rule: str, detail: str | None) -> dict[str, object]:
    place = {"doc_id": f"{record:032d}", "source": "a", "path": "a.csv", "record": record}
    return {**place, "stage": "preprocess", "rule": rule, "detail": detail, "kept_doc_id": "f" * 32}


def document(doc_id: str, text: str) -> dict[str, object]:
    return {"doc_id": doc_id, "source": "a", "text": text, "input_ids": [1], "label_id": 0}


def mistakes() -> list[dict[str, object]]:
    """One with two neighbours, and one that is not where it was."""
    near = [
        {"doc_id": digit * 32, "path": "data/train-0.parquet", "row": row, "label": EVIL, "similarity": 0.5 - row / 10}
        for row, digit in enumerate("23")
    ]
    place = {"split": "test", "path": "data/test-0.parquet", "row": 0, "truth": "negative", "answer": EVIL}
    return [
        {"rank": 1, "doc_id": "1" * 32, **place, "confidence": 0.987, "loss": 4.321, "neighbours": near},
        {"rank": 2, "doc_id": "4" * 32, **place, "confidence": 0.6, "loss": 1.5, "neighbours": []},
    ]


def corpus_tables(directory: str) -> list[FileEntry]:
    term = {"kind": "label", "name": EVIL, "occurrences": 3, "documents": 2, "score": 0.5}
    terms = [{**term, "rank": rank, "word": f"term{rank}"} for rank in range(1, 20)]
    characters = [
        {"split": split, "lower": lower, "documents": 5} for split in ("test", "train") for lower in (8, 9, 64)
    ]
    measures = [{"measure": "short_line_share", "lower": 0.3, "documents": 7}]
    return [
        write_table(directory, "stats/top_terms-0.parquet", terms, TOP_TERMS),
        write_table(directory, "stats/characters-0.parquet", characters, CHARACTER_COUNTS),
        write_table(directory, "stats/measures-0.parquet", measures, MEASURE_COUNTS),
    ]


def publish_shards(plan: Plan) -> None:
    directory = plan.shards_directory
    dropped = [drop(number, "empty_text", None) for number in range(1, 8)] + [drop(900, "malformed_record", EVIL)]
    labels = [
        {"split": split, "source": "a", "label": label, "documents": 10, "tokens": 50}
        for split in ("test", "train")
        for label in LABELS
    ]
    sources = [
        {"source": "a", "split": split, "documents": 30, "tokens": 150, "characters": 875}
        for split in ("test", "train")
    ]
    measured = [{"doc_id": str(row), "source": "a", "language": "de" if row else None} for row in range(4)]
    lengths = [{"split": "train", "tokens": length, "documents": length} for length in range(3, 9)]
    files = (
        write_table(directory, "drops/drops-0.parquet", dropped, DROP),
        write_table(directory, "stats/labels-0.parquet", labels, LABEL_COUNTS),
        write_table(directory, "stats/sources-0.parquet", sources, SOURCE_COUNTS),
        write_table(directory, "stats/lengths-0.parquet", lengths, LENGTH_COUNTS),
        *corpus_tables(directory),
        write_table(directory, "measures/measures-0.parquet", measured, MEASURED),
        write_table(directory, "data/test-0.parquet", [document("1" * 32, f"write to me@example.com {EVIL}")], SHARD),
        write_table(directory, "data/train-0.parquet", [document(d * 32, f"{d} {'long ' * 99}") for d in "23"], SHARD),
    )
    details = {
        "counts": {"read": 1068, "kept": 1060, "dropped": {"empty_text": 7, "malformed_record": 1}},
        "labels": LABELS,
        "max_length": 32,
        "splits": {},
    }
    publish_as(directory, "shards", plan.shards, files, details)


def publish_model(plan: Plan, *, test_rows: bool = True, curves: bool = True) -> None:
    per_class = [{"label": label, "precision": 0.5, "recall": 0.25, "f1": 0.3333, "support": 10} for label in LABELS]
    bins = [{"lower": 0.0, "upper": 0.5, "rows": 0, "accuracy": None, "confidence": None}]
    bins.append({"lower": 0.5, "upper": 1.0, "rows": 30, "accuracy": 23 / 30, "confidence": 0.8765})
    test = {
        "rows": 30,
        "accuracy": 23 / 30,
        "macro_f1": 0.7654,
        "confusion": CONFUSION,
        "per_class": per_class,
        "intervals": {"accuracy": [0.612, 0.893], "macro_f1": None},
        "temperature": 1.234,
        "calibration": {"expected_calibration_error": 0.111, "reliability": bins},
        "calibrated": {"expected_calibration_error": 0.055, "reliability": bins},
    }
    older = {"rows": 12, "accuracy": 0.7171}
    smaller = {"parameters": 1000, "samples_per_second": 50.0, "accuracy": 0.8181, "macro_f1": None}
    empty = {"rows": 0, "accuracy": None, "macro_f1": None, "confusion": [[0] * 3] * 3, "per_class": []}
    baseline = {"rows": 30, "accuracy": 0.4567, "macro_f1": 0.3, "confusion": CONFUSION, "per_class": per_class}
    details = {
        "task": "classify",
        "labels": LABELS,
        "evaluation": {
            "test": test if test_rows else empty,
            "validation": empty,
            "baselines": {"tfidf_logistic_regression": baseline, "majority": baseline} if test_rows else {},
            "forgetting": {"shards": "0ld", "split": "test", "rows": 12, "before": older, "after": older, "change": {}},
            "compression": {"before": {"model": "teacher", **smaller}, "after": smaller},
        },
        "precision": "bf16",
        "world_size": 2,
        "steps": 50,
        "throughput": {"samples_per_second": 123.4, "tokens_per_second": 2345.6, "seconds": 10.0},
    }
    entries = [write_file(plan.model_directory, "card.md", b"card")]
    if test_rows:
        answers = {label: {"answers": sum(row[place] for row in CONFUSION)} for place, label in enumerate(LABELS)}
        content = json.dumps({"split": "test", "rows": 30, "labels": answers}).encode()
        entries.append(write_file(plan.model_directory, "reference.json", content))
        details["reference"] = "reference.json"
        entries.append(write_table(plan.model_directory, "mistakes.parquet", mistakes(), MISTAKE))
        details["mistakes"] = "mistakes.parquet"
    publish_as(plan.model_directory, "model", plan.model, tuple(entries), details)
    if curves:
        steps = [
            {"step": step, "loss": 1 / step, "learning_rate": 1e-4, "samples_per_second": 100.0}
            for step in range(1, 51)
        ]
        content = "".join(json.dumps(line) + "\n" for line in steps) + '{"step": 51, "lo'  # cut by a kill
        Path(plan.training_directory).mkdir(parents=True)
        Path(plan.training_directory, "metrics.jsonl").write_text(content)


def publish_as(directory: str, kind: str, fingerprint: str, files: tuple[FileEntry, ...], details: object) -> None:
    assert isinstance(details, dict)
    manifest = Manifest(
        kind=kind,  # type: ignore[arg-type]
        fingerprint=fingerprint,
        created=utc_now(),
        code_version=code_version(),
        settings={},
        inputs=(),
        files=files,
        details=details,
    )
    assert publish(directory, manifest)


def score_rows(plan: Plan) -> None:
    values = [("negative", 0.99), ("negative", 1.0), ("neutral", 0.4), (EVIL, 0.5), (None, None)]
    commit_answers(
        plan,
        [{"label": label, "score": score, "error": None if label else "undecodable_bytes"} for label, score in values],
    )


def test_a_complete_run_has_every_part(plan: Plan) -> None:
    publish_shards(plan)
    publish_model(plan)
    score_rows(plan)
    page = page_of(plan)
    sections = ["data", "drops", "training", "evaluation", "mistakes", "scores", "watch", "lineage", "settings"]
    assert page.ids == sections and page.links == [f"#{name}" for name in sections]
    # tokens, characters, a measure, loss, learning rate, throughput, calibration, scores, rows by window, shares of
    # labels, lineage
    assert page.tags.count("svg") == 11
    for part in (
        *("1,068 records were read; 1,060 documents were kept", "malformed_record", "0.1 %"),
        *("50 steps on 2 ranks in bf16", "123 samples/s", "2,346 tokens/s"),
        *("accuracy is 0.612 to 0.893.", "error 0.111; 0.055 with logits divided by the temperature 1.234."),
        *("12 test rows of the shards 0ld", "0.717", "its teacher", "0.818"),
        *("0.767", "0.765", "TF-IDF + logistic regression", "0.457", "majority class"),
        *(
            "5 rows at version 0, and 4 of them have a score. The last scoring read 5 rows and scored 4 at 2 docs/s",
            "undecodable_bytes 1",
            "those on the test split: population stability index",
        ),
        *(plan.shards, plan.model, "train.global_batch", "preprocess.inputs.3.format"),
    ):
        assert part in " ".join(page.text.split()), part


def test_examples_of_a_rule_are_at_most_five_and_rare_rules_have_theirs(plan: Plan) -> None:
    publish_shards(plan)
    write_report(plan)
    html = Path(plan.run.report).read_text()
    assert html.count("Examples of ") == 2
    assert html.count('<td class="number">900</td>') == 1
    assert [f'<td class="number">{record}</td>' in html for record in (1, EXAMPLES, EXAMPLES + 1)] == [
        True,
        True,
        False,
    ]


def test_no_text_of_the_data_becomes_markup_and_nothing_is_fetched(plan: Plan) -> None:
    publish_shards(plan)
    publish_model(plan)
    score_rows(plan)
    page = page_of(plan)
    assert "script" not in page.tags
    assert EVIL in page.text
    assert page.links and all(link.startswith("#") for link in page.links)
    assert "url(" not in Path(plan.run.report).read_text()


def test_many_labels_have_a_list_of_what_is_confused_in_place_of_a_matrix(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_shards(plan)
    publish_model(plan)
    assert "Confusion: rows are true" in page_of(plan).text
    monkeypatch.setattr(report, "LARGEST_MATRIX", 2)
    text = " ".join(page_of(plan).text.split())
    assert "Confusion: rows are true" not in text
    assert f"neutral{EVIL}330.0 % neutralnegative220.0 % negativeneutral110.0 %" in text  # cell by cell
    assert [row[:3] for row in most_confused([[3, 0], [5, 1]], ["a", "b"])] == [("b", "a", 5)]
    assert len(most_confused([[1] * 50] * 50, [str(label) for label in range(50)])) == 40


def test_missing_parts_are_said(plan: Plan) -> None:
    page = page_of(plan)
    assert page.tags.count("svg") == 1, "the lineage, of what is to come"
    for stage in ("preprocess", "train", "score"):
        assert f"mapring {stage} {plan.config}" in page.text
    assert "There is no model to evaluate yet" in page.text
    publish_shards(plan)
    publish_model(plan, test_rows=False, curves=False)
    page = page_of(plan)
    assert "holds no metrics.jsonl" in page.text
    assert "The test split holds no labelled rows" in page.text


def test_scores_of_other_settings_are_not_shown(plan: Plan, tmp_path: Path) -> None:
    score_rows(plan)
    assert gather_scores(plan) is not None
    values = config_values(tmp_path)
    values["train"]["epochs"] = 7
    Path(plan.config).write_text(yaml.safe_dump(values))
    assert gather_scores(make_plan(plan.config)) is None


def test_scores_are_counted_by_label_and_bin(plan: Plan) -> None:
    publish_model(plan)
    score_rows(plan)
    write_report(plan)
    scores = gather_scores(plan)
    assert scores is not None
    assert scores.answers.labels == {"negative": 2, "neutral": 1, EVIL: 1}
    assert [(index, count) for index, count in enumerate(scores.answers.histogram) if count] == [
        (8, 1),
        (10, 1),
        (19, 2),
    ]


counts = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1000), min_size=1).filter(lambda d: sum(d.values()))


@given(counts, counts)
def test_stability_index_is_symmetric_finite_and_zero_for_equals(first: dict[str, int], second: dict[str, int]) -> None:
    index = population_stability_index(first, second)
    assert math.isfinite(index) and index >= -1e-12
    assert index == pytest.approx(population_stability_index(second, first))
    assert population_stability_index(first, first) == 0


def test_stability_index_of_a_known_case() -> None:
    expected = 0.25 * math.log(0.75 / 0.5) + -0.25 * math.log(0.25 / 0.5)
    assert population_stability_index({"a": 50, "b": 50}, {"a": 75, "b": 25}) == pytest.approx(expected)


@given(st.dictionaries(st.integers(1, 5000), st.integers(0, 100), max_size=60))
def test_bins_hold_every_document_once(lengths: dict[int, int]) -> None:
    bins = length_bins(lengths)
    assert sum(documents for _, _, documents in bins) == sum(lengths.values())
    assert len(bins) <= 32
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(bins))


def test_the_corpus_shows_its_terms_and_histograms_and_leaves_out_what_was_not_counted(plan: Plan) -> None:
    publish_shards(plan)
    corpus = gather_corpus(plan.shards_directory, read_manifest(plan.shards_directory))
    assert corpus.terms == [("label", EVIL, [f"term{rank}" for rank in range(1, 13)])]
    assert corpus.characters[0] == (8, 12, 20) and corpus.characters[-1] == (64, 96, 10)
    assert [low for low, _, _ in corpus.characters] == [8, 12, 16, 24, 32, 48, 64], "no bar is left out"
    assert corpus.measures == {"short_line_share": [(0.3, pytest.approx(0.32), 7)]}
    page = page_of(plan)
    assert "term12" in page.text and "term13" not in page.text
    assert "short_line_share" in page.text and "Most frequent words" not in page.text


def test_mistakes_are_shown_with_their_neighbours_and_without_personal_data(plan: Plan) -> None:
    publish_shards(plan)
    publish_model(plan)
    text = " ".join(page_of(plan).text.split())
    assert f"is negative answered {EVIL}, sure by 98.7 % loss 4.321 write to <email> {EVIL}" in text
    assert f"0.50 {EVIL} 2 long" in text and f"0.40 {EVIL} 3 long" in text and "me@example.com" not in text
    assert text.count(" …") == 2 and "long " * 60 not in text, "long texts are cut"
    assert text.count("no longer in the shards") == 1, "another document stands at its place"
    shutil.rmtree(plan.shards_directory)
    text = " ".join(page_of(plan).text.split())
    assert "write to" not in text and text.count("no longer in the shards") == 4


def test_languages_are_those_of_the_judged_documents(plan: Plan) -> None:
    publish_shards(plan)
    found = gather_corpus(plan.shards_directory, read_manifest(plan.shards_directory)).languages
    assert found == {"de": 3, None: 1}
    text = " ".join(page_of(plan).text.split())
    assert "de375.0 %" in text and "(none told)125.0 %" in text
