"""Decoders that fail, or are no longer those that the plan knew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.errors import PySparkException

from mapring.errors import StageError
from spark_jobs.failures import explain_failure
from spark_jobs.score import score
from tests.spark_jobs.retrieval.test_drafts_scored import GENERATION, PROMPT, plan_of
from tests.spark_jobs.retrieval.test_label_and_answer import rows_of
from tests.spark_jobs.scoring_faults.ground import Ground
from tests.tiny_modes import publish_made


def decoder_failing(ground: Ground) -> None:
    """Rows whose prompt is too long keep label and answers, and say why; many of them end the run."""
    publish_made(ground.own / "decoder", "clm")
    own = [f"score.draft.model={ground.own}/decoder", "score.draft.prompt='great {text} {answer}'", GENERATION]
    with pytest.raises(StageError, match=r"the decoder failed on \d+ of \d+ drafts \(.*nothing was committed.*16 tok"):
        score(plan_of(ground.own, *own))
    plan = plan_of(ground.own, *own, "score.max_failed_share=0.9")
    assert not DeltaTable.is_deltatable(plan.run.scores)
    score(plan)
    rows = rows_of(plan)
    failed = [row for row in rows if row["draft_finish"] == "failed"]
    assert 0 < len(failed) < len(rows)
    for row in failed:
        assert row["draft"] is None and row["label"] and row["answer"] and row["answers"] and row["error"] is None
        assert row["detail"] == "draft: the text has more than the 16 tokens that the model was trained with"
    assert all(row["draft"] is not None and row["detail"] is None for row in rows if row not in failed)


def decoder_exchanged(ground: Ground) -> None:
    """A decoder that is another one when a task loads it writes nothing; a new plan takes it as it is."""
    publish_made(ground.own / "decoder", "clm")
    inside = ground.own / "decoder" / "transformers-0"
    own = [f"score.draft.model={inside}", PROMPT, GENERATION]
    plan = plan_of(ground.own, *own)
    Path(inside, "generation_config.json").write_text('{"eos_token_id": 7}')
    with pytest.raises(PySparkException) as caught:
        score(plan)
    told = explain_failure(caught.value)
    assert told is not None and re.search(f"found the decoder [0-9a-f]{{16}}, expected {plan.decoder}", told), told
    assert not DeltaTable.is_deltatable(plan.run.scores)
    again = plan_of(ground.own, *own)
    score(again)
    assert {row["draft_model"] for row in rows_of(again)} == {again.decoder} != {plan.decoder}
