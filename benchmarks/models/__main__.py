"""Tasks, models and methods: `python -m benchmarks.models [NAME ...]`.

A NAME measures one part only (banking, methods, regularizers, pretraining, compression, forgetting, search,
evaluation, golden) and leaves the other figures. A training that was measured before is not run again: remove
build/benchmarks/models to start over. `banking` needs data that are not fetched; see `benchmarks/models/banking.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from benchmarks.models.banking import VARIABLE, banking_figures
from benchmarks.models.compression import compression_figures
from benchmarks.models.exactness import evaluation_figures, golden_figures
from benchmarks.models.forgetting import forgetting_figures
from benchmarks.models.methods import method_figures, regularizer_figures
from benchmarks.models.pretraining import pretraining_figures
from benchmarks.models.search import search_figures
from benchmarks.parts import measure
from benchmarks.results import Figure

PARTS: dict[str, Callable[[], list[Figure]]] = {
    "banking": banking_figures,
    "methods": method_figures,
    "regularizers": regularizer_figures,
    "pretraining": pretraining_figures,
    "compression": compression_figures,
    "forgetting": forgetting_figures,
    "search": search_figures,
    "evaluation": evaluation_figures,
    "golden": golden_figures,
}

if __name__ == "__main__":
    if len(sys.argv) == 1 and VARIABLE not in os.environ:
        sys.stderr.write(f"{VARIABLE} is not set: Banking77 is left out\n")
        del PARTS["banking"]
    sys.exit(measure("models", PARTS, with_peers=False))
