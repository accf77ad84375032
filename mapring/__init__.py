"""mapring: a text corpus to a scored table, with one contract from end to end.

The public names are loaded on first use, so that importing `mapring` pulls in neither pyspark
nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_jobs.udf import explain_udf, predict_udf
    from training.reader import ShardReader

__version__ = "0.1.0"
__all__ = ["ShardReader", "__version__", "explain_udf", "predict_udf"]

_HOMES = {"predict_udf": "spark_jobs.udf", "explain_udf": "spark_jobs.udf", "ShardReader": "training.reader"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mapring' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
