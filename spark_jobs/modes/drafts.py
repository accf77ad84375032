"""Drafts of a decoder for rows that have an answer: answered rows to prompts, what continues them to columns.

A draft is a function of its prompt, so equal prompts are given to the decoder once, and no row's draft hangs on the
rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mapring.prompt import Prompt
from mapring.settings.answers import Answers
from spark_jobs.decoder import Decoder
from spark_jobs.distinct import distinct_texts

FAILED = "failed"  # in place of how a draft ended

Columns = Mapping[str, Sequence[Any]]


class Drafted(NamedTuple):
    """Columns draft, draft_finish, draft_model and detail, a value for each row; how many drafts there are and failed.

    `problem` says why one of them failed, None where none did.
    """

    columns: dict[str, list[Any]]
    written: int
    failed: int
    problem: str | None


def write_drafts(
    decoder: Decoder,
    answers: Answers,
    texts: Sequence[str | None],
    answered: Columns,
    texts_of: Callable[[Sequence[str]], list[str]],
) -> Drafted:
    """Draft an answer for each row that has one.

    A row whose draft fails keeps all that it has; its `detail` says why.

    Args:
        decoder: who writes.
        answers: what is asked for, with `draft`.
        texts: normalized, null or empty where there is none.
        answered: columns of these rows in mode answer or retrieve, with error and detail.
        texts_of: gives the texts of templates for their ids.
    """
    assert answers.draft is not None
    rows = [
        row
        for row, (error, abstained) in enumerate(zip(answered["error"], answered["abstained"], strict=True))
        if error is None and not abstained
    ]
    prompts = distinct_texts(decoder.normalize(_prompts(answers.draft.template, rows, texts, answered, texts_of)))
    continued = decoder(prompts.texts, answers.generation)
    failures = continued.passes.failures
    columns: dict[str, list[Any]] = {name: [None] * len(texts) for name in ("draft", "draft_finish", "draft_model")}
    columns["detail"] = list(answered["detail"])
    failed = 0
    for row, place in zip(rows, prompts.places, strict=True):
        columns["draft_model"][row] = decoder.fingerprint
        if place in failures:
            columns["draft_finish"][row], columns["detail"][row] = FAILED, f"draft: {failures[place]}"
            failed += 1
        else:
            columns["draft"][row], columns["draft_finish"][row] = continued.texts[place], continued.finishes[place]
    return Drafted(columns, len(rows) - failed, failed, next(iter(failures.values()), None))


def _prompts(
    template: Prompt,
    rows: Sequence[int],
    texts: Sequence[str | None],
    answered: Columns,
    texts_of: Callable[[Sequence[str]], list[str]],
) -> list[str]:
    """The prompt of each of these rows; the bank's texts are looked up together, and only where it asks for them."""
    ids = [[answer["id"] for answer in answered["answers"][row]] for row in rows]
    if not template.fields & {"answer", "answers"}:
        ids = [[] for _ in rows]
    elif "answers" not in template.fields:
        ids = [own[:1] for own in ids]
    found = iter(texts_of([one for own in ids for one in own]))
    filled = []
    for row, own in zip(rows, ids, strict=True):
        templates = [next(found) for _ in own]
        values = {
            "text": texts[row] or "",
            "label": answered["label"][row] or "",
            "answer": templates[0] if templates else "",
            "answers": "\n".join(templates),
        }
        filled.append(template.fill(values))
    return filled
