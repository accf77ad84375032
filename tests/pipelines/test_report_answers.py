"""Answers of every mode as counts, in the bins of what the model was published with, and the page that shows them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from mapring.contract.schemas import answer_schema
from mapring.plan import make_plan
from mapring.settings.combinations import FROM_A_BANK, MODES, ModeName
from pipelines.report import write_report
from pipelines.report_answers import columns_of, count_answers, expected_answers
from pipelines.report_scores import _drafts
from pipelines.report_tables import batches
from pipelines.verify import verify_target
from tests.mapring.publishing import publish
from tests.pipelines.committed import commit_answers
from tests.pipelines.test_report import Page
from tests.tiny import write_world

REFERENCE = {
    "split": "test",
    "labels": {"good": {"answers": 3}, "bad": {"answers": 1}},
    "prediction": {"edges": [0.0, 10.0, 20.0], "counts": [4, 6]},
    "loss": {"edges": [0.0, 1.0, 2.0, 3.0], "counts": [1, 2, 3]},
}


def counted(mode: ModeName, *columns: dict[str, Any], reference: Any = REFERENCE) -> Any:
    """Counts of batches that hold these columns."""
    schema = answer_schema(mode)
    batches = []
    for batch in columns:
        rows = len(next(iter(batch.values())))
        values = [pa.array(batch.get(name, [None] * rows), schema.field(name).type) for name in columns_of(mode)]
        batches.append(pa.RecordBatch.from_arrays(values, columns_of(mode)))
    return count_answers(mode, batches, reference)


def test_labels_given_and_withheld_are_counted_over_batches() -> None:
    batch = {"label": ["good", None, None], "score": [0.97, 0.4, None], "abstained": [False, True, None]}
    found = counted("classify", batch, {"label": ["good"], "score": [1.0], "abstained": [False]})
    assert found.labels == {"good": 2} and found.abstained == 1
    assert {place: count for place, count in enumerate(found.histogram) if count} == {8: 1, 19: 2}
    assert expected_answers("classify", REFERENCE) == {"good": 3, "bad": 1}


def test_a_row_of_several_labels_counts_for_each() -> None:
    given = [[{"label": "good", "score": 0.9}, {"label": "bad", "score": 0.6}], [], None]
    found = counted("multilabel", {"labels": given}, {"labels": [[{"label": "bad", "score": 0.8}]]})
    assert found.labels == {"good": 1, "bad": 2} and found.histogram == []


def test_numbers_and_losses_are_counted_in_the_bins_of_the_reference() -> None:
    found = counted("regression", {"value": [-5.0, 9.0, 10.0, 25.0, None]})
    assert found.histogram == [2, 2], "a bin holds its lower edge, the outer ones what is beyond"
    assert expected_answers("regression", REFERENCE) == {"0": 4, "1": 6}
    found = counted("perplexity", {"perplexity": [math.exp(0.5), math.exp(1.5), math.exp(9), None]})
    assert found.histogram == [1, 1, 1]
    assert counted("regression", {"value": [1.0]}, reference=None).histogram == []


@pytest.mark.parametrize("mode", MODES)
def test_the_page_shows_a_scoring_of_every_mode(tmp_path: Path, mode: ModeName) -> None:
    config, _ = write_world(tmp_path)
    task = {"perplexity": "clm", "generate": "clm", "retrieve": "embed", "answer": "classify"}.get(mode, mode)
    bank = f"score.retrieval.bank=[{{name: b, path: {tmp_path}/unseen.txt, format: text}}]"
    words = [bank] if mode in FROM_A_BANK else []
    plan = make_plan(config, [f"train.task={task}", f"score.mode={mode}", *words])
    answers: dict[ModeName, dict[str, Any]] = {
        "classify": {"label": "fabulous", "score": 0.9, "abstained": False},
        "answer": {"label": "fabulous", "score": 0.9, "answer": "a", "similarity": 0.8, "abstained": False},
        "multilabel": {"labels": [{"label": "fabulous", "score": 0.9}]},
        "regression": {"value": 3.5},
        "embed": {"embedding": [0.6, 0.8]},
        "retrieve": {"answer": "a", "label": "fabulous", "score": 0.9, "abstained": False},
        "perplexity": {"perplexity": 4.5, "tokens": 7},
        "generate": {"generated": " and so", "tokens": 2, "finish": "end"},
    }
    commit_answers(plan, [answers[mode]])
    write_report(plan)
    html = Path(plan.run.report).read_text()
    page = Page(html)
    assert "1 rows at version 0, and 1 of them have a score" in " ".join(page.text.split())
    assert ("<td>fabulous</td>" in html) == (mode in ("classify", "answer", "multilabel", "retrieve"))


def test_the_page_shows_the_first_drafts_and_their_decoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, _ = write_world(tmp_path)
    decoder = publish(tmp_path / "drafter", task="clm", transformers="transformers-0")
    values = yaml.safe_load(Path(config).read_text())
    bank = {"bank": [{"name": "b", "path": f"{tmp_path}/unseen.txt", "format": "text"}]}
    values["score"] |= {"mode": "answer", "retrieval": bank, "draft": {"model": decoder, "prompt": "{text}"}}
    Path(config).write_text(yaml.safe_dump(values))
    plan = make_plan(config)
    verify_target(config)
    assert capsys.readouterr().out == f"{decoder}: ok\n", "also where it stands elsewhere"
    given = {"label": "fabulous", "score": 0.9, "answer": "a", "similarity": 0.8, "abstained": False}
    drafts = [None, *(f"<b>dear {number}" for number in range(9))]
    commit_answers(plan, [{**given, "draft": draft, "draft_finish": "length"} for draft in drafts])
    write_report(plan)
    html = Path(plan.run.report).read_text()
    assert html.count("&lt;b&gt;dear") == 5 and "<b>dear" not in html and "unseen.txt:2</td>" in html
    assert f"<code>{plan.decoder}</code>" in html and f"decoder {str(plan.decoder)[:8]}" in html


def test_files_that_lack_later_columns_are_counted_with_the_others(tmp_path: Path) -> None:
    old = {"source": ["s"], "path": ["p"], "record": [1], "label": ["x"], "score": [0.5], "answer": ["a"]}
    new = {**old, "abstained": [True], "draft": ["dear"], "draft_finish": ["length"]}
    uris = [str(tmp_path / name) for name in ("old.parquet", "new.parquet")]
    for uri, columns in zip(uris, (old, new), strict=True):
        pq.write_table(pa.table(columns), uri)
    found = count_answers("answer", batches(uris, columns_of("answer")), None)
    assert found.labels == {"x": 2} and found.abstained == 1 and sum(found.histogram) == 2
    assert [draft["draft"] for draft in _drafts(uris)] == ["dear"]
