"""Run the stages of a pipeline, each only if its output is not yet there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mapring.plan import make_plan
from mapring.progress import say, seconds_text
from mapring.settings.learnable import check_learnable
from pipelines.launch import run_stage
from pipelines.process import STOP_SECONDS
from pipelines.report import write_report
from pipelines.stages import stages_of
from pipelines.summary import print_summary


def run(
    config: str,
    overrides: Sequence[str],
    started: Callable[[int], None] = lambda _process_id: None,
    *,
    stop_seconds: float = STOP_SECONDS,
) -> bool:
    """Run all stages, then write the report and print the closing table; returns whether a stage had anything to do.

    `started` and `stop_seconds` are those of `run_stage`.

    Raises:
        SettingsError: a setting is wrong, or the training could not learn from what preprocessing is told to make.
    """
    plan = make_plan(config, overrides)
    check_learnable(config, plan.settings)
    seconds: dict[str, float] = {}
    for stage in stages_of(plan.settings):
        start = time.monotonic()
        if run_stage(stage, plan, started, stop_seconds=stop_seconds):
            seconds[stage] = time.monotonic() - start
        if stage == "pairs":  # which are what the corpus is made of: only now it has a fingerprint
            plan = make_plan(config, overrides)
    start = time.monotonic()
    write_report(plan)
    say("report", f"wrote {plan.run.report} in {seconds_text(time.monotonic() - start)}")
    print_summary(plan, seconds)
    return bool(seconds)
