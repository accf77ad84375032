"""The applications, measured: `python -m benchmarks.applications [NAME ...]`.

A NAME measures one part only and leaves the other figures. Data that are not fetched are named by an environment
variable each, which the part's file tells.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.applications.chinese import chinese_figures
from benchmarks.applications.financial import larger_phrasebank_figures, phrasebank_figures
from benchmarks.applications.first_use import first_use_figures
from benchmarks.applications.opinion_surges import opinion_figures
from benchmarks.applications.recommendation import recommendation_figures, reranker_figures, towers_figures
from benchmarks.applications.report import report_figures
from benchmarks.applications.service import (
    answer_figures,
    few_label_figures,
    larger_out_of_scope_figures,
    out_of_scope_figures,
)
from benchmarks.parts import measure
from benchmarks.results import Figure

PARTS: dict[str, Callable[[], list[Figure]]] = {
    "first_use": first_use_figures,
    "report": report_figures,
    "chinese": chinese_figures,
    "few_labels": few_label_figures,
    "answers": answer_figures,
    "out_of_scope": out_of_scope_figures,
    "out_of_scope_larger": larger_out_of_scope_figures,
    "recommendation": recommendation_figures,
    "recommendation_towers": towers_figures,
    "recommendation_reranker": reranker_figures,
    "financial": phrasebank_figures,
    "financial_larger": larger_phrasebank_figures,
    "opinion": opinion_figures,
}

if __name__ == "__main__":
    sys.exit(measure("applications", PARTS, with_peers=False))
