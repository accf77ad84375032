"""Runtimes that compute the logits of a published model, and the gate that they pass before they score anything."""

from spark_jobs.backends.interface import Backend
from spark_jobs.backends.loading import load_backend

__all__ = ["Backend", "load_backend"]
